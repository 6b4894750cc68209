/** A row of the simulator's layer of counts. */
interface Feature {
  readonly attributes: { readonly Location_code: string; readonly Date: number; readonly TotalCount: number };
}

const layer =
  "/cNVyNtjGVZybOQWZ/arcgis/rest/services/Automatic_Hourly_Pedestrian_Count/FeatureServer/0/query";

/** Every count that is published now, as `entity validAt` -> value, by a plain read that shares nothing with the sources. */
export async function publishedCounts(base: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let offset = 0; ; ) {
    const query = new URLSearchParams({
      where: "1=1",
      outFields: "Location_code,Date,TotalCount",
      orderByFields: "ObjectId ASC",
      resultOffset: String(offset),
      f: "json",
    });
    const answer = (await (await fetch(`${base}${layer}?${query}`)).json()) as {
      features: Feature[];
      exceededTransferLimit?: boolean;
    };
    for (const { attributes: row } of answer.features)
      counts.set(`${row.Location_code} ${row.Date}`, row.TotalCount);
    offset += answer.features.length;
    if (!answer.exceededTransferLimit) return counts;
  }
}

/** How two sets of counts differ, for a message; null when they are the same. */
export function difference(
  expected: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
): string | null {
  const lost = [...expected.keys()].filter((key) => !found.has(key));
  const made = [...found.keys()].filter((key) => !expected.has(key));
  const wrong = [...expected].filter(([key, value]) => found.has(key) && found.get(key) !== value);
  if (lost.length + made.length + wrong.length === 0) return null;
  const examples = [
    ...lost.map((key) => `-${key}`),
    ...made.map((key) => `+${key}`),
    ...wrong.map(([key, value]) => `${key}: ${found.get(key)}, not ${value}`),
  ];
  return `${lost.length} lost, ${made.length} made up, ${wrong.length} wrong of ${expected.size}: ${examples.slice(0, 5).join("; ")}`;
}
