import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { type App, createBackup } from "../../app/index.ts";
import { addEndpoint } from "../endpoint.ts";
import { createGate } from "../gate.ts";
import { word } from "../schemas.ts";

/** Backups of the data folder, on the machine it is on. */
export function backupRoutes(http: FastifyInstance, app: App): void {
  const gate = createGate("backups", { running: 1, waiting: 1 });
  addEndpoint(http, {
    method: "POST",
    path: "/v1/backup",
    access: "admin",
    tag: "system",
    summary: "Copies the data folder, while everything goes on, to backups/NAME.tar.gz inside it",
    body: z.strictObject({ name: word.describe("Letters, digits, dots and dashes") }),
    status: 201,
    answer: z.object({ path: z.string(), files: z.int(), bytes: z.number() }),
    handle: async ({ body, caller }) => {
      const report = await gate.run(() => createBackup(app, body.name));
      await app.audit.record({
        actor: caller.name,
        action: "backup.create",
        subject: body.name,
        details: { files: report.files, bytes: report.bytes, keyId: caller.keyId },
      });
      return report;
    },
  });
}
