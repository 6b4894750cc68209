/**
 * Solves A x = b for a symmetric positive definite A, in place: A (n x n, row-major, the lower triangle is
 * read) becomes its factor L with A = L L', b becomes x. False, with both spoilt, where A is not positive
 * definite to working precision.
 */
export function choleskySolve(a: Float64Array, b: Float64Array): boolean {
  const n = b.length;
  for (let j = 0; j < n; j++) {
    const rowJ = j * n;
    const diagonal = a[rowJ + j]!;
    for (let i = j; i < n; i++) {
      const rowI = i * n;
      let sum = a[rowI + j]!;
      for (let k = 0; k < j; k++) sum -= a[rowI + k]! * a[rowJ + k]!;
      if (i > j) {
        a[rowI + j] = sum / a[rowJ + j]!;
      } else {
        // What is left of the diagonal after the columns before is rounding: a linear combination of them.
        if (!(sum > 1e-12 * diagonal)) return false;
        a[rowI + j] = Math.sqrt(sum);
      }
    }
  }
  for (let i = 0; i < n; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= a[i * n + k]! * b[k]!;
    b[i] = sum / a[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i]!;
    for (let k = i + 1; k < n; k++) sum -= a[k * n + i]! * b[k]!;
    b[i] = sum / a[i * n + i]!;
  }
  return true;
}
