import { readBinary, writeBinary } from "./binary.ts";
import { checkColumns } from "./dataset.ts";
import { check } from "./errors.ts";
import { FlatForest } from "./flat.ts";
import { readLightGBM, writeLightGBM } from "./formats/lightgbm.ts";
import { writeOnnx } from "./formats/onnx.ts";
import { readXGBoost, writeXGBoost, writeXGBoostUbjson } from "./formats/xgboost.ts";
import type { ModelData } from "./model-data.ts";
import { applyLink, type Link, linkOf } from "./objectives.ts";
import { TreeContributions } from "./shap.ts";
import type { Column, ObjectiveName } from "./types.ts";

/** A trained model. Immutable. */
export class Model {
  readonly data: ModelData;
  readonly #flat: FlatForest;
  readonly #link: Link;

  constructor(data: ModelData) {
    this.data = data;
    this.#flat = new FlatForest(data.trees, data.outputs, data.featureNames.length, data.float32);
    this.#link = linkOf(data.objective);
  }

  get featureNames(): readonly string[] {
    return this.data.featureNames;
  }

  get objective(): ObjectiveName | "custom" {
    return this.data.objective;
  }

  /** Raw scores and predictions per row. */
  get outputs(): number {
    return this.data.outputs;
  }

  /** Rounds in the model. */
  get iterations(): number {
    return this.data.trees.length / this.data.outputs;
  }

  /**
   * Predicts in the target's units.
   * @param columns the training columns, in their order
   * @param out where to write rows x outputs numbers, row-major; made if not given
   * @throws TreesError on wrong shapes
   */
  predict(columns: readonly Column[], out?: Float64Array): Float64Array {
    const scores = this.predictRaw(columns, out);
    applyLink(this.#link, scores, this.data.outputs);
    return scores;
  }

  /** As `predict`, before the objective's inverse link. */
  predictRaw(columns: readonly Column[], out?: Float64Array): Float64Array {
    const { outputs, base, featureNames } = this.data;
    check(
      Array.isArray(columns) && columns.length === featureNames.length,
      `the model has ${featureNames.length} columns, got ${columns?.length}`,
    );
    const rows = checkColumns(columns);
    const scores = out ?? new Float64Array(rows * outputs);
    check(scores.length === rows * outputs, `out must have ${rows * outputs} numbers, has ${scores.length}`);
    for (let i = 0; i < scores.length; i++) scores[i] = this.data.average ? 0 : base[i % outputs]!;
    this.#flat.predict(this.#inputs(columns), rows, scores);
    if (this.data.average) {
      const rounds = Math.max(1, this.iterations);
      for (let i = 0; i < scores.length; i++) scores[i] = base[i % outputs]! + scores[i]! / rounds;
    }
    return scores;
  }

  /** Prediction of one row in the target's units: the first output (for classes, use `predictRowAll`). */
  predictRow(row: Float32Array | Float64Array): number {
    return this.predictRowAll(row)[0]!;
  }

  /** Predictions of one row in the target's units, one per output. */
  predictRowAll(row: Float32Array | Float64Array): Float64Array {
    const { outputs, base, featureNames, average, float32 } = this.data;
    check(
      row.length === featureNames.length,
      `the model has ${featureNames.length} columns, got ${row.length}`,
    );
    const out = average ? new Float64Array(outputs) : Float64Array.from(base);
    this.#flat.predictRow(float32 && !(row instanceof Float32Array) ? Float32Array.from(row) : row, out);
    if (average) for (let k = 0; k < outputs; k++) out[k] = base[k]! + out[k]! / Math.max(1, this.iterations);
    applyLink(this.#link, out, outputs);
    return out;
  }

  /** The leaf that each row falls in, for each tree: rows x trees, row-major. */
  predictLeaf(columns: readonly Column[]): Int32Array {
    check(
      columns.length === this.data.featureNames.length,
      `the model has ${this.data.featureNames.length} columns, got ${columns.length}`,
    );
    const rows = checkColumns(columns);
    return this.#flat.leaves(this.#inputs(columns), rows);
  }

  /**
   * Exact SHAP contributions to the raw scores: rows x outputs x (columns + 1), row-major; the last of each is
   * the model's mean, and all of them sum to `predictRaw`.
   */
  predictContributions(columns: readonly Column[]): Float64Array {
    const { outputs, base, trees, average, featureNames } = this.data;
    const width = featureNames.length + 1;
    check(columns.length + 1 === width, `the model has ${width - 1} columns, got ${columns.length}`);
    const rows = checkColumns(columns);
    const inputs = this.#inputs(columns);
    const out = new Float64Array(rows * outputs * width);
    const row = new Float64Array(featureNames.length);
    const parts = trees.map((tree) => new TreeContributions(tree));
    const rounds = average ? Math.max(1, this.iterations) : 1;
    for (let i = 0; i < rows; i++) {
      inputs.forEach((column, f) => {
        row[f] = column[i]!;
      });
      const from = i * outputs * width;
      parts.forEach((part, t) => {
        part.add(row, 0, out, from + (t % outputs) * width, width - 1);
      });
      if (average) for (let j = from; j < from + outputs * width; j++) out[j] = out[j]! / rounds;
      for (let k = 0; k < outputs; k++) out[from + k * width + width - 1]! += base[k]!;
    }
    return out;
  }

  #inputs(columns: readonly Column[]): readonly Column[] {
    if (!this.data.float32) return columns;
    return columns.map((column) => (column instanceof Float64Array ? Float32Array.from(column) : column));
  }

  /** Per column: the sum of the gains of its splits, or their number. */
  featureImportance(kind: "gain" | "split" = "gain"): Float64Array {
    const out = new Float64Array(this.data.featureNames.length);
    for (const tree of this.data.trees) {
      tree.feature.forEach((f, n) => {
        out[f] = out[f]! + (kind === "gain" ? tree.gain[n]! : 1);
      });
    }
    return out;
  }

  /** The model in this package's own compact form. */
  toBytes(): Uint8Array {
    return writeBinary(this.data);
  }

  /**
   * Reads what `toBytes` wrote.
   * @throws TreesError on anything else
   */
  static fromBytes(bytes: Uint8Array): Model {
    return new Model(readBinary(bytes));
  }

  /** The model as LightGBM's text (version v4). */
  toLightGBM(): string {
    return writeLightGBM(this.data);
  }

  /**
   * Reads LightGBM's text model.
   * @throws TreesError on anything else
   */
  static fromLightGBM(text: string): Model {
    return new Model(readLightGBM(text));
  }

  /** The model as XGBoost's JSON. Thresholds and leaf values are rounded to float32. */
  toXGBoost(): string {
    return writeXGBoost(this.data);
  }

  /** The model as XGBoost's UBJSON, the content of an `.ubj` file: `toXGBoost` in binary. */
  toXGBoostUbjson(): Uint8Array {
    return writeXGBoostUbjson(this.data);
  }

  /**
   * Reads XGBoost's model: JSON as text, or the bytes of a file in JSON or UBJSON.
   * @throws TreesError on anything else
   */
  static fromXGBoost(file: string | Uint8Array): Model {
    return new Model(readXGBoost(file));
  }

  /** The model as an ONNX file: float input "X" [N, columns], float output "Y" [N, outputs] in the target's units. */
  toOnnx(): Uint8Array {
    return writeOnnx(this.data);
  }
}
