import type { z } from "zod";
import { addressOf, OptionError, type SourceKind } from "../kind.ts";
import { options, type SocrataOptions } from "./options.ts";
import { readRecords } from "./read.ts";

/** Records of a Socrata dataset (SODA 2.1), counted by day and by what they are about, e.g. New York's 311 requests. */
export function socrata(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "socrata" as const, ...declaration };
}

export const socrataKind: SourceKind<SocrataOptions> = {
  kind: "socrata",
  description: "Records of a Socrata dataset (SODA 2.1), counted by the publisher or one by one.",
  options,
  create(declared, context) {
    const [measure, ...more] = context.measureOf;
    if (measure === undefined || more.length > 0) {
      throw new OptionError(
        "series",
        `feed one measure, but ${context.measureOf.join(", ") || "none"} read from this source`,
      );
    }
    for (const [i, series] of declared.series.entries()) {
      if (series.entity === undefined && series.by.length === 0)
        throw new OptionError(`series.${i}.entity`, "give an id, or columns in by that make ids");
      if (series.read === "counts" && context.grid.slotsPerDay > 1)
        throw new OptionError(`series.${i}.read`, "the publisher counts by day; read rows for shorter steps");
    }
    const at = (path: string) => addressOf(`https://${declared.domain}`, path, context.baseAddress);
    const address = at(`/resource/${declared.dataset}.json`);
    const token = (context.environment ?? process.env)[declared.appToken];
    const source = {
      declared,
      context,
      measure,
      address,
      metadata: at(`/api/views/${declared.dataset}.json`),
      headers: token === undefined || token === "" ? {} : { "x-app-token": token },
    };
    return { kind: "socrata", address, read: (request) => readRecords(source, request) };
  },
};
