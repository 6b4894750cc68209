/** Metres of one degree of latitude. */
const degreeM = 111_195;

/** Metres between two places by their columns `lat` and `lon`, as on a plane: within a city that is near enough. */
export const metresSql = (a: string, b: string): string =>
  `sqrt(pow((${a}.lat - ${b}.lat) * ${degreeM}, 2) + pow((${a}.lon - ${b}.lon) * ${degreeM} * cos(radians(${a}.lat)), 2))`;
