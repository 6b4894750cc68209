import type { z } from "zod";
import { addressOf, measureFields, OptionError, type SourceContext, type SourceKind } from "../kind.ts";
import { type ArcgisOptions, options } from "./options.ts";
import { readLayer } from "./read.ts";

/** Counts from a layer of an ArcGIS FeatureServer, e.g. the City of Sydney's. */
export function arcgis(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "arcgis" as const, ...declaration };
}

export const arcgisKind: SourceKind<ArcgisOptions> = {
  kind: "arcgis",
  description: "Rows of an ArcGIS FeatureServer layer, paged by time.",
  options,
  create(declared, context: SourceContext) {
    if (context.measureOf.length === 0)
      throw new OptionError("fields.value", "no measure reads from this source");
    const measures = measureFields(declared.fields.value, context.measureOf, "fields.value");
    const layerOf = (service: string, layer: number) =>
      addressOf(
        declared.host,
        `/${declared.organisation}/arcgis/rest/services/${encodeURIComponent(service)}/FeatureServer/${layer}`,
        context.baseAddress,
      );
    const address = layerOf(declared.service, declared.layer);
    const places = declared.places ? layerOf(declared.places.service, declared.places.layer) : null;
    return {
      kind: "arcgis",
      address,
      read: (request) => readLayer({ declared, context, measures, address, places }, request),
    };
  },
};
