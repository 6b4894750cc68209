import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { parseCsv } from "../../sources/index.ts";
import { UsageError } from "../exit-codes.ts";

/** The beginning of a delimited file. */
export interface Sample {
  readonly delimiter: string;
  readonly columns: readonly string[];
  /** Records of the header's length, in the order of the file. */
  readonly rows: readonly (readonly string[])[];
}

/** Enough for the dates of some months, little enough to look at in a moment. */
const sampleBytes = 8_000_000;
const delimiters = [",", ";", "\t", "|"];

/** Reads the beginning of a plain or gzip file and finds its delimiter. Throws UsageError. */
export async function readSample(path: string, delimiter?: string): Promise<Sample> {
  const { text, whole } = await beginningOf(path);
  const lines = text.split("\n");
  // The last line may be cut in the middle.
  const usable = whole ? text : lines.slice(0, -1).join("\n");
  if (usable.trim() === "")
    throw new UsageError(`${path}: expected a header line and rows, the file is empty`);
  const found = delimiter ?? delimiterOf(lines.slice(0, 50).join("\n"));
  const [header, ...records] = parseCsv(usable, found);
  const columns = header!.fields.map((name) => name.trim());
  if (columns.length < 2) {
    throw new UsageError(
      `${path}: only one column "${columns[0]?.slice(0, 60)}" was found`,
      "Name what separates the columns with --delimiter.",
    );
  }
  const rows = records.flatMap(({ fields }) =>
    fields.length === columns.length ? [fields.map((field) => field.trim())] : [],
  );
  if (rows.length === 0)
    throw new UsageError(`${path}: there are no rows of ${columns.length} columns under the header`);
  return { delimiter: found, columns, rows };
}

/** The one that cuts the most lines into the same number of columns, more than one. */
function delimiterOf(text: string): string {
  let best = ",";
  let most = 0;
  for (const delimiter of delimiters) {
    const records = parseCsv(text, delimiter);
    const width = records[0]?.fields.length ?? 0;
    const score = width < 2 ? 0 : records.filter(({ fields }) => fields.length === width).length * width;
    if (score > most) [best, most] = [delimiter, score];
  }
  return best;
}

async function beginningOf(path: string): Promise<{ text: string; whole: boolean }> {
  const file = createReadStream(path);
  const input = path.endsWith(".gz") ? file.pipe(createGunzip()) : file;
  file.on("error", (error) => input.destroy(error));
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of input) {
      parts.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes > sampleBytes) return { text: Buffer.concat(parts).toString("utf8"), whole: false };
    }
    return { text: Buffer.concat(parts).toString("utf8"), whole: true };
  } catch (error) {
    throw new UsageError(`${path} cannot be read`, undefined, error);
  } finally {
    file.destroy();
  }
}
