/**
 * Factors a symmetric positive definite A (n x n, row-major, the lower triangle is read) in place: A = L L'.
 * False, with A spoilt, where it is not positive definite to working precision.
 */
export function choleskyFactor(a: Float64Array, n: number): boolean {
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
  return true;
}

/** Solves L L' x = b in place of b, with the factor L of `choleskyFactor`. */
export function substitute(factor: Float64Array, b: Float64Array): void {
  const n = b.length;
  for (let i = 0; i < n; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= factor[i * n + k]! * b[k]!;
    b[i] = sum / factor[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i]!;
    for (let k = i + 1; k < n; k++) sum -= factor[k * n + i]! * b[k]!;
    b[i] = sum / factor[i * n + i]!;
  }
}

/** Solves A x = b in place: A becomes its factor, b becomes x. False where A is not positive definite. */
export function choleskySolve(a: Float64Array, b: Float64Array): boolean {
  if (!choleskyFactor(a, b.length)) return false;
  substitute(a, b);
  return true;
}
