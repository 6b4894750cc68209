import { CityScaleError } from "../core/index.ts";

/**
 * Throws SOURCE_MALFORMED for a text that ends in the middle of a row, as a cut answer does: its last row looks
 * like one with empty fields, and half a number is a number too.
 */
export function requireWhole(
  address: string,
  text: string,
  records: readonly { readonly fields: readonly string[] }[],
): void {
  const [header, last] = [records[0], records.at(-1)];
  if (!header || !last || /[\r\n]$/.test(text) || last.fields.length >= header.fields.length) return;
  throw new CityScaleError(
    "SOURCE_MALFORMED",
    `${address}: expected ${header.fields.length} fields in the last row, the text ends in number ${last.fields.length}`,
    { details: { address } },
  );
}

/** Records of RFC 4180 text with the line they start on; quotes, CRLF and a byte-order mark are understood. */
export function parseCsv(text: string, delimiter = ","): { fields: string[]; line: number }[] {
  const records: { fields: string[]; line: number }[] = [];
  let fields: string[] = [];
  let field = "";
  let quoted = false;
  let line = 1;
  let startedAt = 1;
  const endRecord = () => {
    fields.push(field);
    if (fields.length > 1 || fields[0]!.trim() !== "") records.push({ fields, line: startedAt });
    fields = [];
    field = "";
  };
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const char = text[i]!;
    if (char === "\n") line += 1;
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[i + 1] === '"') {
        field += '"';
        i += 1;
      } else quoted = false;
    } else if (char === '"' && field === "") quoted = true;
    else if (char === delimiter) {
      fields.push(field);
      field = "";
    } else if (char === "\n") {
      endRecord();
      startedAt = line;
    } else if (char !== "\r") field += char;
  }
  if (field !== "" || fields.length > 0) endRecord();
  return records;
}
