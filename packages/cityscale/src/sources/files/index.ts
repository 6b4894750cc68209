import { resolve } from "node:path";
import type { z } from "zod";
import { measureFields, OptionError, type SourceKind } from "../kind.ts";
import { folderOf } from "../text-file.ts";
import { type FilesOptions, options } from "./options.ts";
import { type FilesSource, readFiles } from "./read.ts";
import { timeReader } from "./time-format.ts";

/** Counts, entities and observed weather from delimited or Parquet files, plain or gzip. */
export function files(declaration: Omit<z.input<typeof options>, "kind">) {
  return { kind: "files" as const, ...declaration };
}

export const filesKind: SourceKind<FilesOptions> = {
  kind: "files",
  description: "Delimited or Parquet files in a folder, by glob, with the columns named.",
  options,
  create(declared, context) {
    if ((declared.glob === undefined) !== (declared.columns === undefined)) {
      throw new OptionError(
        declared.glob === undefined ? "glob" : "columns",
        "glob and columns belong together",
      );
    }
    if (!declared.columns && !declared.entities && !declared.weather) {
      throw new OptionError("columns", "declare columns, entities or weather");
    }
    for (const [field, format] of [
      ["timeFormat", declared.timeFormat],
      ["weather.timeFormat", declared.weather?.timeFormat],
    ] as const) {
      try {
        timeReader(format);
      } catch (error) {
        throw new OptionError(field, (error as Error).message);
      }
    }
    const measures = declared.columns
      ? measureFields(declared.columns.value, context.measureOf, "columns.value")
      : [];
    const folder = resolve(folderOf(context.baseAddress ?? "."));
    const source: FilesSource = { declared, context, measures, folder, held: new Map() };
    return { kind: "files", address: folder, read: (request) => readFiles(source, request) };
  },
};
