import type { Fields } from "./container.ts";
import { ForecastError } from "./errors.ts";
import { checkColumns, type Matrix } from "./matrix.ts";
import { quantileSorted } from "./quantile.ts";

/** One column of the design: a column of the matrix, or one code of a categorical column as 0 and 1. */
interface DesignColumn {
  /** index in the matrix */
  readonly column: number;
  /** the code that is 1, or -1 for a numeric column */
  readonly code: number;
  /** values below and above are moved to these bounds */
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  /** 0 for a column that does not vary: it is 0 everywhere */
  readonly scale: number;
}

const FIELDS_PER_COLUMN = 6;

/**
 * Turns rows of a matrix into standardised numbers for a linear model: numeric columns are clipped, centred
 * and scaled to unit variance by the TRAINING rows, each code of a categorical column becomes a 0/1 column
 * treated alike. Missing is the column's mean, that is 0, and so is a code that was not seen.
 */
export class Standardiser {
  readonly featureNames: readonly string[];
  readonly categorical: readonly string[];
  readonly #design: readonly DesignColumn[];
  /** codes that were seen, by categorical column */
  readonly #codes: ReadonlyMap<number, ReadonlySet<number>>;

  private constructor(
    featureNames: readonly string[],
    categorical: readonly string[],
    design: readonly DesignColumn[],
  ) {
    this.featureNames = featureNames;
    this.categorical = categorical;
    this.#design = design;
    const coded = Map.groupBy(
      design.filter((d) => d.code >= 0),
      (d) => d.column,
    );
    this.#codes = new Map([...coded].map(([column, ds]) => [column, new Set(ds.map((d) => d.code))]));
  }

  /**
   * @param rows the training rows
   * @param clip numeric columns are clipped to their quantiles at `clip` and 1 - `clip`; 0 leaves them
   */
  static fit(matrix: Matrix, rows: Int32Array, clip: number): Standardiser {
    const design: DesignColumn[] = [];
    for (const [column, name] of matrix.names.entries()) {
      const values = matrix.columns[column]!;
      const sorted = new Float64Array(rows.length);
      let known = 0;
      for (const row of rows) if (!Number.isNaN(values[row]!)) sorted[known++] = values[row]!;
      const ascending = sorted.subarray(0, known).sort();
      if (matrix.categorical.includes(name)) design.push(...codeColumns(column, ascending));
      else design.push(numericColumn(column, ascending, clip));
    }
    return new Standardiser(matrix.names, matrix.categorical, design);
  }

  /** Columns of the design. */
  get width(): number {
    return this.#design.length;
  }

  /** Place of a numeric column in the design; -1 where there is none of that name. */
  placeOf(name: string): number {
    if (this.categorical.includes(name)) return -1;
    const column = this.featureNames.indexOf(name);
    return this.#design.findIndex((d) => d.column === column);
  }

  /** The given rows, standardised: width x rows.length, column after column. */
  transform(matrix: Matrix, rows: Int32Array): Float64Array {
    checkColumns(matrix, this.featureNames);
    const out = new Float64Array(this.width * rows.length);
    for (const [j, { column, code, low, high, mean, scale }] of this.#design.entries()) {
      if (scale === 0) continue;
      const values = matrix.columns[column]!;
      const codes = this.#codes.get(column);
      const start = j * rows.length;
      for (let k = 0; k < rows.length; k++) {
        let value = values[rows[k]!]!;
        if (codes) value = codes.has(value) ? Number(value === code) : Number.NaN;
        if (Number.isNaN(value)) continue;
        out[start + k] = (Math.min(high, Math.max(low, value)) - mean) / scale;
      }
    }
    return out;
  }

  /** Header fields and the numbers of the design, for `container.ts`. */
  toParts(): { fields: object; numbers: Float64Array } {
    return {
      fields: { featureNames: this.featureNames, categorical: this.categorical },
      numbers: Float64Array.from(
        this.#design.flatMap(({ column, code, low, high, mean, scale }) => [
          column,
          code,
          low,
          high,
          mean,
          scale,
        ]),
      ),
    };
  }

  /** @throws ForecastError `bytes` on anything `toParts` cannot have written */
  static fromParts(fields: Fields, numbers: Float64Array): Standardiser {
    const featureNames = fields.strings("featureNames");
    const categorical = fields.strings("categorical");
    const design: DesignColumn[] = [];
    for (let at = 0; at < numbers.length; at += FIELDS_PER_COLUMN) {
      const [column, code, low, high, mean, scale] = numbers.subarray(at, at + FIELDS_PER_COLUMN);
      const isWhole = Number.isInteger(column) && Number.isInteger(code);
      const isNumber =
        low! <= high! && Number.isFinite(mean) && scale! >= 0 && scale! < Number.POSITIVE_INFINITY;
      if (!isWhole || column! < 0 || column! >= featureNames.length || !isNumber) {
        throw new ForecastError("bytes", `column ${design.length} of the design is damaged`);
      }
      design.push({ column: column!, code: code!, low: low!, high: high!, mean: mean!, scale: scale! });
    }
    return new Standardiser(featureNames, categorical, design);
  }
}

function numericColumn(column: number, ascending: Float64Array, clip: number): DesignColumn {
  const low = clip > 0 && ascending.length > 0 ? quantileSorted(ascending, clip) : Number.NEGATIVE_INFINITY;
  const high =
    clip > 0 && ascending.length > 0 ? quantileSorted(ascending, 1 - clip) : Number.POSITIVE_INFINITY;
  const clipped = ascending.map((value) => Math.min(high, Math.max(low, value)));
  return { column, code: -1, low, high, ...spreadOf(clipped) };
}

function codeColumns(column: number, ascending: Float64Array): DesignColumn[] {
  const bounds = { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
  const codes = [...new Set(ascending)];
  return codes.map((code) => {
    const flags = ascending.map((value) => Number(value === code));
    return { column, code, ...bounds, ...spreadOf(flags) };
  });
}

/** Mean and standard deviation (of the rows, not of a population they stand for); scale 0 where none vary. */
function spreadOf(values: Float64Array): { mean: number; scale: number } {
  if (values.length === 0) return { mean: 0, scale: 0 };
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const scale = Math.sqrt(variance);
  return { mean, scale: scale > 1e-9 * Math.abs(mean) ? scale : 0 };
}
