import type { z } from "zod";
import { addressOf, measureFields, OptionError, type SourceKind } from "../kind.ts";
import { type OpendatasoftOptions, options } from "./options.ts";
import { readDataset } from "./read.ts";

/** Counts from a dataset of an Opendatasoft portal, e.g. the bicycle counters of Paris. */
export function opendatasoft(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "opendatasoft" as const, ...declaration };
}

export const opendatasoftKind: SourceKind<OpendatasoftOptions> = {
  kind: "opendatasoft",
  description: "Rows of a dataset on an Opendatasoft portal (Explore API v2.1).",
  options,
  create(declared, context) {
    if (context.measureOf.length === 0)
      throw new OptionError("fields.value", "no measure reads from this source");
    const measures = measureFields(declared.fields.value, context.measureOf, "fields.value");
    const datasetAt = (dataset: string) =>
      addressOf(
        `https://${declared.domain}`,
        `/api/explore/v2.1/catalog/datasets/${encodeURIComponent(dataset)}`,
        context.baseAddress,
      );
    const address = datasetAt(declared.dataset);
    const places = declared.places ? datasetAt(declared.places.dataset) : null;
    return {
      kind: "opendatasoft",
      address,
      read: (request) => readDataset({ declared, context, measures, address, places }, request),
    };
  },
};
