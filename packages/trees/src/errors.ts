/** A mistake in what the caller gave: shapes, parameters, model files. */
export class TreesError extends Error {
  override readonly name = "TreesError";
}

/** Throws unless `condition` holds. */
export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new TreesError(message);
}
