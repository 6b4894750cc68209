import { normal, normalQuantile, smoothNoise } from "../random.ts";
import {
  dewPoint,
  type Reading,
  round1,
  sunHeight,
  VARIABLES,
  type Variable,
  type Weather,
} from "../weather.ts";
import type { CityParameters, Climate } from "./parameters.ts";

const HOUR = 3_600_000;
/** Hidden states of the atmosphere, each a first-order autoregression with variance 1: [memory h, forecast error half-way h]. */
const STATES = [
  [55, 60], // warm or cold air
  [9, 30], // wetness
  [24, 48], // wind
  [14, 40], // cloud
] as const;
const WARM = 0;
const WET = 1;
const WIND = 2;
const CLOUD = 3;

/**
 * A made-up atmosphere. The truth is a function of (seed, hour) once the memory of the beginning is lost, for
 * which the chain starts a year before it is needed; forecasts see the hidden states through an error that grows
 * with the lead and is drawn by (seed, issue hour, hour), so every issue differs and can be asked again.
 */
export class GeneratedWeather implements Weather {
  readonly latitude: number;
  readonly longitude: number;
  readonly elevation = 40;
  readonly fromHour: number;
  readonly toHour = Number.POSITIVE_INFINITY;
  readonly variables: ReadonlySet<Variable> = new Set(Object.keys(VARIABLES) as Variable[]);
  readonly #seed: number;
  readonly #climate: Climate;
  readonly #rainAbove: number;
  readonly #anchorHour: number;
  #states = new Float32Array(0);
  #made = 0;
  readonly #last = new Float64Array(STATES.length);
  readonly #decay = STATES.map(([memory]) => Math.exp(-1 / memory));

  constructor(seed: number, city: CityParameters) {
    this.#seed = seed;
    this.#climate = city.climate;
    this.latitude = city.latitude;
    this.longitude = city.longitude;
    this.#rainAbove = normalQuantile(1 - city.climate.wetShare);
    const year = new Date(city.startMs).getUTCFullYear();
    this.#anchorHour = Date.UTC(year - 2, 0, 1) / HOUR;
    this.fromHour = Date.UTC(year - 1, 0, 1) / HOUR;
  }

  knownFrom(hour: number): number {
    return hour + 1;
  }

  observed(hour: number): Reading | null {
    if (hour < this.fromHour) return null;
    const at = this.#at(hour);
    const s = this.#states;
    return this.#reading(hour, s[at]!, s[at + 1]!, s[at + 2]!, s[at + 3]!, true, 0);
  }

  forecast(issueHour: number, hour: number): Reading | null {
    if (hour < this.fromHour) return null;
    const lead = hour - issueHour;
    if (lead <= 0) return this.observed(hour);
    const at = this.#at(hour);
    const seen = [0, 0, 0, 0];
    for (let k = 0; k < STATES.length; k++) {
      const error = lead / (lead + STATES[k]![1]);
      const x = hour / 9;
      // Runs of one day share most of their error: the next hour's forecast is not a fresh throw of the dice.
      const noise =
        0.8 * smoothNoise(this.#seed, 40 + k, Math.floor(issueHour / 24), x) +
        0.45 * smoothNoise(this.#seed, 50 + k, Math.floor(issueHour / 6), x) +
        0.4 * smoothNoise(this.#seed, 60 + k, issueHour, x);
      seen[k] = Math.sqrt(1 - error * error) * this.#states[at + k]! + 0.85 * error * noise;
    }
    const wetError = lead / (lead + STATES[WET]![1]);
    return this.#reading(hour, seen[WARM]!, seen[WET]!, seen[WIND]!, seen[CLOUD]!, false, wetError);
  }

  /** Rain of an hour, temperature and wind, without making a whole reading: what generating counts needs. */
  rainMm(hour: number): number {
    return this.#rain(this.#states[this.#at(hour) + WET]!);
  }

  #at(hour: number): number {
    const index = hour - this.#anchorHour;
    if (index >= this.#made) this.#extend(index);
    return index * STATES.length;
  }

  #extend(index: number): void {
    const until = index + 24 * 30;
    const k = STATES.length;
    if (until * k > this.#states.length) {
      const grown = new Float32Array(Math.max(until, this.#made * 2) * k);
      grown.set(this.#states.subarray(0, this.#made * k));
      this.#states = grown;
    }
    for (let i = this.#made; i < until; i++) {
      for (let s = 0; s < k; s++) {
        const decay = this.#decay[s]!;
        const fresh = normal(this.#seed, 30 + s, this.#anchorHour + i, 0);
        const value = decay * this.#last[s]! + Math.sqrt(1 - decay * decay) * fresh;
        this.#last[s] = value;
        this.#states[i * k + s] = value;
      }
    }
    this.#made = until;
  }

  #rain(wet: number): number {
    const over = wet - this.#rainAbove;
    return over <= 0 ? 0 : round1(this.#climate.rainMm * (over / 0.42) ** 1.4);
  }

  #reading(
    hour: number,
    warm: number,
    wet: number,
    wind: number,
    cloud: number,
    truth: boolean,
    wetError: number,
  ): Reading {
    const { meanC, seasonC, diurnalC, synopticC, windKmh } = this.#climate;
    const solarHour = (((hour + 0.5 + this.longitude / 15) % 24) + 24) % 24;
    const hemisphere = this.latitude < 0 ? 1 : -1;
    // The warmest days come four weeks after the longest.
    const season = hemisphere * Math.cos((2 * Math.PI * ((hour / 24 - 18) % 365.25)) / 365.25);
    const afternoon = Math.cos((2 * Math.PI * (solarHour - 14.5)) / 24);
    const cover = 1 / (1 + Math.exp(-(1.1 * cloud + 1.2 * wet - 0.2)));
    const rain = this.#rain(wet);
    const local = truth ? 0.3 * normal(this.#seed, 35, hour, 0) : 0;
    const temperature =
      meanC +
      seasonC * season +
      diurnalC * afternoon * (1 - 0.5 * cover) +
      synopticC * warm -
      0.8 * Math.max(wet, 0) +
      local;
    const humidity = Math.min(
      100,
      Math.max(14, 66 + 13 * wet - 11 * afternoon * (1 - 0.5 * cover) - 4 * warm + (rain > 0 ? 8 : 0)),
    );
    const speed = windKmh * Math.exp(0.42 * wind - 0.09) * (1 + 0.28 * afternoon) + (rain > 0 ? 2.5 : 0);
    const sun = sunHeight(hour, this.latitude, this.longitude);
    const reading: Reading = {
      temperature_2m: round1(temperature),
      relative_humidity_2m: Math.round(humidity),
      dew_point_2m: round1(dewPoint(temperature, humidity)),
      apparent_temperature: round1(
        temperature + 0.05 * (humidity - 60) * Math.max(0, (temperature - 18) / 12) - 0.06 * speed,
      ),
      precipitation: rain,
      rain,
      weather_code:
        rain > 4
          ? 65
          : rain > 1
            ? 63
            : rain > 0
              ? 61
              : cover > 0.75
                ? 3
                : cover > 0.4
                  ? 2
                  : cover > 0.15
                    ? 1
                    : 0,
      pressure_msl: round1(1016.5 - 4.5 * wet - 2.2 * wind + 1.2 * warm),
      cloud_cover: Math.round(100 * cover),
      wind_speed_10m: round1(speed),
      wind_direction_10m: Math.round((((180 + 70 * warm + 40 * cloud) % 360) + 360) % 360),
      wind_gusts_10m: round1(speed * 1.7 + 4),
      shortwave_radiation: sun <= 0 ? 0 : Math.round(1050 * sun ** 1.15 * (1 - 0.72 * cover ** 2.5)),
      is_day: sun > 0 ? 1 : 0,
    };
    if (!truth) {
      // The chance that the true wetness passes the threshold, given this forecast and its error.
      const z = (this.#rainAbove - wet) / Math.max(wetError, 0.05);
      reading.precipitation_probability = Math.round(100 / (1 + Math.exp(1.702 * z)));
    }
    return reading;
  }
}
