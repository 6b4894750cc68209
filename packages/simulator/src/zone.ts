const HOUR = 3_600_000;
const DAY = 86_400_000;

/** A time zone's offsets, remembered by the hour where it changes and by the UTC day elsewhere. */
export class Zone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #names: Intl.DateTimeFormat;
  readonly #days = new Map<number, number | Float64Array>();

  /** @throws RangeError for a name that is no IANA zone. */
  constructor(name: string) {
    this.name = name;
    this.#format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    this.#names = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "short" });
  }

  /** Local minus UTC, ms, at an instant. */
  offsetMs(utcMs: number): number {
    const day = Math.floor(utcMs / DAY);
    let known = this.#days.get(day);
    if (known === undefined) {
      const first = this.#ask(day * DAY);
      const last = this.#ask((day + 1) * DAY - 1);
      if (first === last) known = first;
      else {
        // Every quarter of an hour: no zone changes its clock at a finer instant.
        known = Float64Array.from({ length: 96 }, (_, q) => this.#ask(day * DAY + (q * HOUR) / 4));
      }
      this.#days.set(day, known);
    }
    if (typeof known === "number") return known;
    return known[Math.floor((utcMs - day * DAY) / (HOUR / 4))]!;
  }

  /** The instant of a local wall time given as if it were UTC. A time that does not exist gives the hour after. */
  toUtcMs(localMs: number): number {
    const guess = localMs - this.offsetMs(localMs - this.offsetMs(localMs));
    if (guess + this.offsetMs(guess) === localMs) {
      // A repeated wall time means its first passage.
      const earlier = guess - HOUR;
      return earlier + this.offsetMs(earlier) === localMs ? earlier : guess;
    }
    return localMs - this.offsetMs(localMs - DAY);
  }

  /** The abbreviation in use at an instant, e.g. AEDT or GMT+11. */
  abbreviation(utcMs: number): string {
    return this.#names.formatToParts(utcMs).find((part) => part.type === "timeZoneName")?.value ?? this.name;
  }

  #ask(utcMs: number): number {
    const text = this.#format.formatToParts(utcMs).find((part) => part.type === "timeZoneName")?.value ?? "";
    const match = /GMT([+-])(\d+):(\d+)(?::(\d+))?/.exec(text);
    if (match === null) return 0;
    const size = (Number(match[2]) * 60 + Number(match[3])) * 60_000 + Number(match[4] ?? 0) * 1000;
    return match[1] === "-" ? -size : size;
  }
}

/** "+02:00" */
export function offsetText(offsetMs: number): string {
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  const pad = (value: number) => String(value).padStart(2, "0");
  return `${offsetMs < 0 ? "-" : "+"}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
}
