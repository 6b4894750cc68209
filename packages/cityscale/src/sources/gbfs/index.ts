import type { z } from "zod";
import { OptionError, type SourceKind } from "../kind.ts";
import { textAddress } from "../text-file.ts";
import { type GbfsOptions, options } from "./options.ts";
import { readStations } from "./read.ts";

/** Stations of a bike share through GBFS 2.x or 3.x, with an archive of their snapshots where there is one. */
export function gbfs(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "gbfs" as const, ...declaration };
}

export const gbfsKind: SourceKind<GbfsOptions> = {
  kind: "gbfs",
  description:
    "Stations of a bike share (GBFS 2.x and 3.x): bikes and docks as they are now, and an archive.",
  options,
  create(declared, context) {
    if (context.measureOf.length === 0)
      throw new OptionError("url", "no measure reads from this source; declare levels named bikes or docks");
    const address = textAddress(declared.url, context.baseAddress);
    if (!/^https?:/.test(address)) throw new OptionError("url", "is read over http or https");
    return {
      kind: "gbfs",
      address,
      read: (request) => readStations({ declared, context, address }, request),
    };
  },
};
