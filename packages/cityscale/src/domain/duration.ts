const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Milliseconds of a duration such as `10m`, `26h`, `7d`, `8w` or `1h30m`. Throws RangeError on anything else. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smhdw])/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join("") !== text.trim()) {
    throw new RangeError(`"${text}" is not a duration; write for example 10m, 26h, 7d or 1h30m`);
  }
  return parts.reduce((sum, part) => sum + Number(part[1]) * unitMs[part[2] as keyof typeof unitMs], 0);
}

/** A duration in the largest units that fit, e.g. `1d 2h`, `35m`, `12s`; for people, not for parsing. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return "unknown";
  const sign = ms < 0 ? "-" : "";
  let rest = Math.abs(ms);
  if (rest < 1000) return `${sign}${Math.round(rest)}ms`;
  const out: string[] = [];
  for (const [unit, size] of [
    ["d", unitMs.d],
    ["h", unitMs.h],
    ["m", unitMs.m],
    ["s", unitMs.s],
  ] as const) {
    const count = Math.floor(rest / size);
    if (count > 0 && out.length < 2) out.push(`${count}${unit}`);
    else if (out.length > 0) break;
    rest -= count * size;
  }
  return sign + out.join(" ");
}
