/** Below it buildings are heated: 62 degrees Fahrenheit, in Celsius. */
const heatingBelow = 16.7;

/** Degrees Celsius that a day's mean temperature lies below that of days without heating, in SQL; NULL for NULL. */
export const heatingOf = (temperature: string): string =>
  `abs(least(${temperature} - ${heatingBelow}, 0 * ${temperature}))`;
