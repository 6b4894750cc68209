import type { Shape } from "../../src/network/shape.ts";

/**
 * Outputs, in 64 bits and plain loops.
 *
 * @param alive by hidden layer and row x unit: what the ReLU's value is multiplied by; without it, 1
 */
export function naiveForward(
  shape: Shape,
  parameters: Float64Array,
  inputs: Float32Array,
  codes: Int32Array,
  alive?: readonly Float32Array[],
): Float64Array {
  const rows = inputs.length / shape.numeric;
  const categoricals = codes.length / rows;
  let before = Float64Array.from(inputs);
  shape.layers.forEach((layer, l) => {
    const after = new Float64Array(rows * layer.outputs);
    for (let i = 0; i < rows; i++) {
      for (let o = 0; o < layer.outputs; o++) {
        let sum = parameters[layer.bias.at + o]!;
        for (let k = 0; k < layer.inputs; k++) {
          const place = l === 0 ? o * layer.inputs + k : k * layer.outputs + o;
          sum += before[i * layer.inputs + k]! * parameters[layer.weights.at + place]!;
        }
        for (let c = 0; l === 0 && c < categoricals; c++) {
          const code = codes[i * categoricals + c]!;
          if (code >= 0) sum += parameters[shape.categories.at + code * layer.outputs + o]!;
        }
        const at = i * layer.outputs + o;
        after[at] = l === shape.layers.length - 1 ? sum : Math.max(0, sum) * (alive ? alive[l]![at]! : 1);
      }
    }
    before = after;
  });
  return before;
}
