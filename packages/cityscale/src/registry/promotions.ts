import { type Selectable, sql } from "kysely";
import {
  CityScaleError,
  type Clock,
  createEvents,
  type Db,
  type Log,
  type PromotionsTable,
} from "../core/index.ts";
import { findVersion } from "./versions.ts";

/** A line of the promotion log: which alias was moved to what, by whom and why. */
export interface Promotion {
  readonly seq: number;
  readonly at: number;
  readonly city: string;
  readonly target: string;
  readonly alias: "champion" | "challenger";
  readonly action: "promote" | "rollback" | "withdraw";
  /** What the alias names from then on; null after a withdrawal. */
  readonly version: number | null;
  readonly fromVersion: number | null;
  readonly actor: string;
  readonly reason: string;
  /** The evidence: what was measured, the gates' bounds, waivers. */
  readonly verdict: unknown;
}

export interface Aliases {
  readonly champion: number | null;
  readonly challenger: number | null;
  /** What a rollback would make champion. */
  readonly previous: number | null;
}

export interface Decision {
  readonly city: string;
  readonly target: string;
  readonly actor: string;
  readonly reason: string;
  readonly verdict?: unknown;
}

export interface Promotions {
  /**
   * Moves an alias and logs it, both or neither. A new champion makes the old one `previous` and is no
   * challenger any more. An alias that is there already is left alone, and its log line returned.
   * Throws MODEL_UNKNOWN.
   */
  promote(decision: Decision & { version: number; alias: "champion" | "challenger" }): Promise<Promotion>;
  /**
   * Makes the champion before this one champion again; a second rollback goes one further back.
   * Throws CONFLICT when there was none before.
   */
  rollback(decision: Decision): Promise<Promotion>;
  /** Takes the challenger's alias away. Throws CONFLICT when there is no challenger. */
  withdraw(decision: Decision): Promise<Promotion>;
  aliases(city: string, target: string): Promise<Aliases>;
  /** Version that was champion at an instant; null before the first. */
  championAt(city: string, target: string, at: number): Promise<number | null>;
  /** Newest first. */
  history(filter?: { city?: string; target?: string; limit?: number; before?: number }): Promise<Promotion[]>;
  /** After the transaction of every move. */
  on(name: "moved", listener: (promotion: Promotion) => void): () => void;
}

export function createPromotions({ db, clock, log }: { db: Db; clock: Clock; log: Log }): Promotions {
  const events = createEvents<{ moved: Promotion }>(log);

  async function aliasesOf(within: Db, city: string, target: string): Promise<Aliases> {
    const rows = await within
      .selectFrom("aliases")
      .select(["alias", "version"])
      .where("city", "=", city)
      .where("target", "=", target)
      .execute();
    const version = (alias: string) => rows.find((row) => row.alias === alias)?.version ?? null;
    return {
      champion: version("champion"),
      challenger: version("challenger"),
      previous: version("previous"),
    };
  }

  async function setAlias(
    within: Db,
    { city, target }: Decision,
    alias: keyof Aliases,
    version: number | null,
  ): Promise<void> {
    const values = { city, target, alias };
    if (version === null) {
      let gone = within.deleteFrom("aliases");
      for (const column of ["city", "target", "alias"] as const)
        gone = gone.where(column, "=", values[column]);
      await gone.execute();
      return;
    }
    const updated_at = Math.floor(clock.now());
    await within
      .insertInto("aliases")
      .values({ ...values, version, updated_at })
      .onConflict((conflict) =>
        conflict.columns(["city", "target", "alias"]).doUpdateSet({ version, updated_at }),
      )
      .execute();
  }

  async function write(
    within: Db,
    decision: Decision,
    line: Pick<Promotion, "alias" | "action" | "version" | "fromVersion">,
  ): Promise<Promotion> {
    const row = await within
      .insertInto("promotions")
      .values({
        seq: sql<number>`(SELECT COALESCE(MAX(seq), 0) + 1 FROM promotions)`,
        at: Math.floor(clock.now()),
        city: decision.city,
        target: decision.target,
        alias: line.alias,
        action: line.action,
        version: line.version,
        from_version: line.fromVersion,
        actor: decision.actor,
        reason: decision.reason,
        verdict: decision.verdict === undefined ? null : JSON.stringify(decision.verdict),
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    return promotionOf(row);
  }

  /** The champions up to now, without those that were rolled back: the last is the champion. */
  async function succession(within: Db, { city, target }: Decision): Promise<number[]> {
    const rows = await within
      .selectFrom("promotions")
      .select(["action", "version"])
      .where("city", "=", city)
      .where("target", "=", target)
      .where("alias", "=", "champion")
      .orderBy("seq")
      .execute();
    const stack: number[] = [];
    for (const { action, version } of rows) {
      if (action === "rollback") stack.pop();
      else if (version !== null) stack.push(version);
    }
    return stack;
  }

  /** Runs a change in one transaction; listeners hear of it once it is stored. */
  async function move(
    change: (within: Db) => Promise<{ promotion: Promotion; isNew: boolean }>,
  ): Promise<Promotion> {
    const { promotion, isNew } = await db.transaction().execute(change);
    if (isNew) events.emit("moved", promotion);
    return promotion;
  }

  return {
    on: (name, listener) => events.on(name, listener),
    aliases: (city, target) => aliasesOf(db, city, target),

    promote: (decision) =>
      move(async (within) => {
        const { city, target, version, alias } = decision;
        await findVersion(within, city, target, version);
        const now = await aliasesOf(within, city, target);
        if (now[alias] === version) {
          const last = await within
            .selectFrom("promotions")
            .selectAll()
            .where("city", "=", city)
            .where("target", "=", target)
            .where("alias", "=", alias)
            .orderBy("seq", "desc")
            .limit(1)
            .executeTakeFirstOrThrow();
          return { promotion: promotionOf(last), isNew: false };
        }
        await setAlias(within, decision, alias, version);
        if (alias === "champion") {
          await setAlias(within, decision, "previous", now.champion);
          if (now.challenger === version) await setAlias(within, decision, "challenger", null);
        }
        const line = { alias, action: "promote", version, fromVersion: now[alias] } as const;
        return { promotion: await write(within, decision, line), isNew: true };
      }),

    rollback: (decision) =>
      move(async (within) => {
        const stack = await succession(within, decision);
        const [champion, previous, before] = [stack.at(-1), stack.at(-2), stack.at(-3)];
        if (champion === undefined || previous === undefined) {
          const { city, target } = decision;
          throw new CityScaleError("CONFLICT", `${city} has no earlier champion for ${target}`, {
            details: { city, target },
          });
        }
        await setAlias(within, decision, "champion", previous);
        await setAlias(within, decision, "previous", before ?? null);
        const line = {
          alias: "champion",
          action: "rollback",
          version: previous,
          fromVersion: champion,
        } as const;
        return { promotion: await write(within, decision, line), isNew: true };
      }),

    withdraw: (decision) =>
      move(async (within) => {
        const { city, target } = decision;
        const { challenger } = await aliasesOf(within, city, target);
        if (challenger === null) {
          throw new CityScaleError("CONFLICT", `${city} has no challenger for ${target}`, {
            details: { city, target },
          });
        }
        await setAlias(within, decision, "challenger", null);
        const line = {
          alias: "challenger",
          action: "withdraw",
          version: null,
          fromVersion: challenger,
        } as const;
        return { promotion: await write(within, decision, line), isNew: true };
      }),

    championAt: async (city, target, at) => {
      const row = await db
        .selectFrom("promotions")
        .select("version")
        .where("city", "=", city)
        .where("target", "=", target)
        .where("alias", "=", "champion")
        .where("at", "<=", at)
        // By order of decision, not by time: a clock that was set back does not change who followed whom.
        .orderBy("seq", "desc")
        .limit(1)
        .executeTakeFirst();
      return row?.version ?? null;
    },

    history: async ({ city, target, limit = 100, before } = {}) => {
      let query = db.selectFrom("promotions").selectAll().orderBy("seq", "desc").limit(limit);
      if (city !== undefined) query = query.where("city", "=", city);
      if (target !== undefined) query = query.where("target", "=", target);
      if (before !== undefined) query = query.where("seq", "<", before);
      return (await query.execute()).map(promotionOf);
    },
  };
}

function promotionOf(row: Selectable<PromotionsTable>): Promotion {
  return {
    seq: row.seq,
    at: row.at,
    city: row.city,
    target: row.target,
    alias: row.alias,
    action: row.action,
    version: row.version,
    fromVersion: row.from_version,
    actor: row.actor,
    reason: row.reason,
    verdict: row.verdict === null ? null : JSON.parse(row.verdict),
  };
}
