import { sql } from "kysely";
import type { Clock } from "./clock.ts";
import type { Db } from "./database.ts";

export interface AuditEntry {
  readonly seq: number;
  readonly at: number;
  /** Who: a key's name, `local` for the machine's own command line, `system` for the program itself. */
  readonly actor: string;
  /** What was done, e.g. `key.create`. */
  readonly action: string;
  /** To what, e.g. the key's id. */
  readonly subject: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditLog {
  /** Adds a line; `within` a transaction it stands or falls with what it tells of. */
  record(
    entry: { actor: string; action: string; subject: string; details?: Record<string, unknown> },
    within?: Db,
  ): Promise<void>;
  /** Newest first; `before` is the `seq` of the last line of the previous page. */
  list(options?: { limit?: number; before?: number; subject?: string }): Promise<AuditEntry[]>;
}

/** The append-only log of who did what; a trigger in the database refuses changes and deletions. */
export function createAuditLog({ db, clock }: { db: Db; clock: Clock }): AuditLog {
  return {
    record: async ({ actor, action, subject, details = {} }, within = db) => {
      await within
        .insertInto("audit_log")
        .values({
          seq: sql<number>`(SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_log)`,
          at: Math.round(clock.now()),
          actor,
          action,
          subject,
          details: JSON.stringify(details),
        })
        .execute();
    },
    list: async ({ limit = 100, before, subject } = {}) => {
      let query = db.selectFrom("audit_log").selectAll().orderBy("seq", "desc").limit(limit);
      if (before !== undefined) query = query.where("seq", "<", before);
      if (subject !== undefined) query = query.where("subject", "=", subject);
      const rows = await query.execute();
      return rows.map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> }));
    },
  };
}
