import { z } from "zod";
import { parseDuration } from "../../domain/index.ts";
import { duration } from "../kind.ts";

const longer = duration.refine((text) => parseDuration(text) > 0, "give a duration above 0");

const archive = z.strictObject({
  /** Address of the Parquet file of a month; `{month}` stands for `2023-04`, in UTC. */
  url: z.string().includes("{month}", "write {month} where the month stands, e.g. status_{month}.parquet"),
  /** First month that there is. */
  from: z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/, "write a month such as 2022-12"),
  /** How often the months that are not complete are asked for. */
  every: longer.default("6h"),
});

export const options = z.strictObject({
  kind: z.literal("gbfs"),
  /** Address of the auto-discovery file, `gbfs.json`; all other addresses come from it. */
  url: z.string().min(1),
  /** Which language of names is read where there are several; the first one that there is without it. */
  language: z.string().min(2).default("en"),
  /** Longest `ttl` of station_status that is believed: some publishers promise hours and write every minute. */
  maxTtl: longer.default("5m"),
  /** Time from a snapshot to its publication in the archive; decides what an earlier origin could have known. */
  publicationLag: duration.default("0s"),
  /** Snapshots of earlier days, which GBFS itself does not give. */
  archive: archive.optional(),
});

export type GbfsOptions = z.output<typeof options>;
export type ArchiveOptions = z.output<typeof archive>;
