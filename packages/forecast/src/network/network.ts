import { type Fields, floatsOf, pack, sectionOf, unpack } from "../container.ts";
import { ForecastError } from "../errors.ts";
import type { Matrix } from "../matrix.ts";
import { Inputs } from "./inputs.ts";
import { checkHidden } from "./options.ts";
import type { NetworkParts } from "./parts.ts";
import { Predictor } from "./predictor.ts";
import { Shape } from "./shape.ts";

const KIND = "network";

/** A fitted network; immutable. */
export class Network {
  readonly #parts: NetworkParts;
  readonly #inputs: Inputs;
  #predictor: Predictor | undefined;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    this.#inputs = new Inputs(parts.inputs);
  }

  /** Columns it was fitted on, in order. */
  get names(): readonly string[] {
    return this.#parts.inputs.names;
  }

  /** How many columns `predict` gives: one, or one per quantile level. */
  get outputs(): number {
    return this.#parts.outputs;
  }

  /**
   * Predictions in units of the label, one column per output. A missing number counts as the mean, a category that is
   * missing or was not seen as none; a number beyond 4 standard deviations as that, so that predictions are bounded.
   * Quantiles of one row may cross.
   *
   * @throws ForecastError `shape` unless the columns are those it was fitted on
   */
  predict(matrix: Matrix): Float64Array[] {
    this.#inputs.check(matrix);
    this.#predictor ??= new Predictor(this.#parts, this.#inputs);
    return this.#predictor.predict(matrix);
  }

  /** The same network gives the same bytes. */
  toBytes(): Uint8Array {
    const { inputs, hidden, outputs, center, scale, parameters } = this.#parts;
    const { names, categorical, means, factors, categories } = inputs;
    return pack(
      KIND,
      {
        names,
        categorical,
        categories: categories.map((codes) => ({ codes: [...codes] })),
        hidden,
        outputs,
        center,
        scale,
      },
      [sectionOf(means), sectionOf(factors), singleSection(parameters)],
    );
  }

  /** @throws ForecastError `bytes` on anything `toBytes` cannot have written */
  static fromBytes(bytes: Uint8Array): Network {
    const { fields, sections } = unpack(bytes, KIND);
    const [means, factors, parameters] = sections;
    if (sections.length !== 3) throw new ForecastError("bytes", `${sections.length} sections, expected 3`);
    const names = fields.strings("names");
    const categorical = fields.strings("categorical");
    const categories = fields.objects("categories").map((entry) => readCodes(entry));
    if (new Set(names).size !== names.length || names.length === 0) {
      throw new ForecastError("bytes", "the names of the columns are not distinct");
    }
    if (names.filter((name) => categorical.includes(name)).join("\n") !== categorical.join("\n")) {
      throw new ForecastError("bytes", "the categorical columns are not among the columns");
    }
    if (categories.length !== categorical.length) {
      throw new ForecastError(
        "bytes",
        `${categories.length} lists of categories for ${categorical.length} columns`,
      );
    }
    const numeric = names.length - categorical.length;
    const hidden = fields.numbers("hidden");
    checkHidden(hidden, "bytes");
    const outputs = fields.number("outputs");
    if (!Number.isInteger(outputs) || outputs < 1 || outputs > 64) {
      throw new ForecastError("bytes", `${outputs} outputs, expected 1 to 64`);
    }
    const scale = fields.number("scale");
    if (!(scale > 0)) throw new ForecastError("bytes", `scale ${scale}, expected above 0`);
    const count = categories.reduce((sum, codes) => sum + codes.length, 0);
    return new Network({
      inputs: {
        names,
        categorical,
        categories,
        means: floatsOf(sized(means!, 8 * numeric)),
        factors: floatsOf(sized(factors!, 8 * numeric)),
      },
      hidden,
      outputs,
      center: fields.number("center"),
      scale,
      parameters: singlesOf(sized(parameters!, 4 * new Shape(numeric, count, hidden, outputs).size)),
    }).#finite();
  }

  #finite(): this {
    const { inputs, parameters } = this.#parts;
    for (const values of [inputs.means, inputs.factors, parameters]) {
      if (!values.every(Number.isFinite)) throw new ForecastError("bytes", "a parameter is not finite");
    }
    return this;
  }
}

/** Numbers of 32 bits as a section, little-endian. */
function singleSection(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setFloat32(i * 4, values[i]!, true);
  return bytes;
}

function singlesOf(section: Uint8Array): Float32Array {
  const view = new DataView(section.buffer, section.byteOffset, section.byteLength);
  return Float32Array.from({ length: section.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
}

function sized(section: Uint8Array, bytes: number): Uint8Array {
  if (section.length !== bytes) {
    throw new ForecastError("bytes", `a section of ${section.length} bytes, expected ${bytes}`);
  }
  return section;
}

function readCodes(entry: Fields): Float64Array {
  const codes = Float64Array.from(entry.numbers("codes"));
  if (!codes.every((code, k) => Number.isInteger(code) && code >= 0 && (k === 0 || code > codes[k - 1]!))) {
    throw new ForecastError("bytes", "categories are not ascending whole numbers");
  }
  return codes;
}
