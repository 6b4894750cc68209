/** Hourly variables a weather can have, with the units the rest of the code keeps them in. */
export const VARIABLES = {
  temperature_2m: "°C",
  relative_humidity_2m: "%",
  dew_point_2m: "°C",
  apparent_temperature: "°C",
  precipitation_probability: "%",
  precipitation: "mm",
  rain: "mm",
  weather_code: "wmo code",
  pressure_msl: "hPa",
  cloud_cover: "%",
  wind_speed_10m: "km/h",
  wind_direction_10m: "°",
  wind_gusts_10m: "km/h",
  shortwave_radiation: "W/m²",
  is_day: "",
} as const;
export type Variable = keyof typeof VARIABLES;

/** The weather of one hour; a missing value is NaN, a variable this weather lacks is absent. */
export type Reading = { [V in Variable]?: number };

/** A place's weather as something that can be asked. Hours are whole hours since 1970, UTC. */
export interface Weather {
  readonly latitude: number;
  readonly longitude: number;
  readonly elevation: number;
  /** Hours outside this range have no reading. */
  readonly fromHour: number;
  readonly toHour: number;
  readonly variables: ReadonlySet<Variable>;
  /** The first hour at whose beginning the observation of `hour` is there. */
  knownFrom(hour: number): number;
  observed(hour: number): Reading | null;
  /** What was forecast for `hour` by the run issued at `issueHour`. */
  forecast(issueHour: number, hour: number): Reading | null;
  /** One archived model run, hour by hour, as it can be read at an instant; null for a run that is not there. */
  run?(runHour: number, nowMs: number): ((hour: number) => Reading | null) | null;
}

/** Dew point, °C, of a temperature and a relative humidity in % (Magnus formula, Sonntag's constants). */
export function dewPoint(temperatureC: number, humidity: number): number {
  const g = Math.log(Math.max(humidity, 1) / 100) + (17.62 * temperatureC) / (243.12 + temperatureC);
  return (243.12 * g) / (17.62 - g);
}

/** Sine of the sun's height at an hour's middle; below 0 at night (declination by Cooper's formula). */
export function sunHeight(hour: number, latitude: number, longitude: number): number {
  const days = hour / 24;
  const dayOfYear = (days % 365.25) + 1;
  const declination = ((23.45 * Math.PI) / 180) * Math.sin((2 * Math.PI * (284 + dayOfYear)) / 365);
  const angle = ((((hour % 24) + 0.5 + longitude / 15 - 12) * 15) / 180) * Math.PI;
  const phi = (latitude * Math.PI) / 180;
  return Math.sin(phi) * Math.sin(declination) + Math.cos(phi) * Math.cos(declination) * Math.cos(angle);
}

export function round1(value: number): number {
  return Math.round(value * 10) / 10;
}
