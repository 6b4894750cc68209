import { type Reply, type Request, type Service, text } from "./reply.ts";

/** A CSV file that is made anew at each request. */
export interface CsvFile {
  path: string;
  source: string;
  /** Header and rows. */
  rows(nowMs: number): readonly (readonly (string | number)[])[];
}

/** Plain CSV files under fixed paths. */
export class CsvFiles implements Service {
  readonly api = "csv";
  readonly #files: Map<string, CsvFile>;

  constructor(files: readonly CsvFile[]) {
    this.#files = new Map(files.map((file) => [file.path, file]));
  }

  source(path: string): string | null {
    return this.#files.get(path)?.source ?? null;
  }

  answer(request: Request, nowMs: number): Reply {
    const file = this.#files.get(request.path);
    if (file === undefined) return text(404, "text/plain", "Not Found");
    return text(
      200,
      "text/csv",
      `${file
        .rows(nowMs)
        .map((row) => row.map(cell).join(","))
        .join("\r\n")}\r\n`,
    );
  }
}

function cell(value: string | number): string {
  const written = String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
