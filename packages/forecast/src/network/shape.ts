/** Widths are multiples of this, the numbers in one SIMD register; what is added is zero and stays zero. */
const LANES = 4;

export function padded(width: number): number {
  return Math.ceil(width / LANES) * LANES;
}

/** A matrix of parameters, rows x columns; places count numbers from the start of the parameters. */
export interface Segment {
  readonly at: number;
  readonly rows: number;
  readonly columns: number;
  /** Whether weight decay applies. */
  readonly decays: boolean;
  /** Place of the transposed copy, columns x rows, among the transposed copies. */
  readonly transposed: number | undefined;
}

/** One layer, from `inputs` to `outputs` numbers (padded). */
export interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  readonly weights: Segment;
  readonly bias: Segment;
}

/**
 * Where each parameter of a network is. Layer 0 reads the numeric inputs; its weights are outputs x inputs, so that
 * a unit's weights lie together, and the categories have a row of outputs each. Other layers are inputs x outputs.
 */
export class Shape {
  /** Numeric inputs, padded. */
  readonly numeric: number;
  readonly layers: readonly Layer[];
  readonly categories: Segment;
  readonly segments: readonly Segment[];
  /** Count of parameters. */
  readonly size: number;
  /** Count of numbers in all transposed copies. */
  readonly transposedSize: number;
  /** The widest row of anything. */
  readonly widest: number;

  constructor(numeric: number, categories: number, hidden: readonly number[], outputs: number) {
    this.numeric = padded(numeric);
    let size = 0;
    let transposedSize = 0;
    const segment = (rows: number, columns: number, decays: boolean, transposes: boolean): Segment => {
      const transposed = transposes ? transposedSize : undefined;
      const made = { at: size, rows, columns, decays, transposed };
      size += rows * columns;
      if (transposes) transposedSize += rows * columns;
      return made;
    };
    const widths = [this.numeric, ...hidden.map(padded), padded(outputs)];
    this.layers = widths.slice(1).map((width, k) => {
      const inputs = widths[k]!;
      return {
        inputs,
        outputs: width,
        weights: k === 0 ? segment(width, inputs, true, true) : segment(inputs, width, true, true),
        bias: segment(1, width, false, false),
      };
    });
    this.categories = segment(categories, widths[1]!, true, false);
    this.segments = [...this.layers.flatMap((layer) => [layer.weights, layer.bias]), this.categories];
    this.size = size;
    this.transposedSize = transposedSize;
    this.widest = Math.max(...widths);
  }
}
