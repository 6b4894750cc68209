import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { CityScaleError } from "../core/index.ts";
import type { Role } from "../domain/index.ts";
import { errorSchema } from "./schemas.ts";

/** Who may call a route: anybody, or holders of a key of this role or a higher one. */
export type Access = Role | "open";

/** Whoever sent a request: the name goes into logs of decisions. */
export interface Caller {
  readonly name: string;
  readonly role: Role;
  /** Null for the machine's own command line. */
  readonly keyId: string | null;
}

interface Input<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType> {
  readonly params: z.output<Params>;
  readonly query: z.output<Query>;
  readonly body: z.output<Body>;
  readonly caller: Caller;
  readonly reply: FastifyReply;
}

/** One route: its schemas check what comes, and are what OpenAPI shows. */
export interface Endpoint<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Answer extends z.ZodType,
> {
  readonly method: "GET" | "POST" | "DELETE";
  /** Pattern with `:name` for each parameter. */
  readonly path: string;
  readonly access: Access;
  readonly tag: string;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** 200 when left out. */
  readonly status?: number;
  /** Shape of a JSON answer. */
  readonly answer?: Answer;
  /** Content type of an answer that is no JSON. */
  readonly produces?: string;
  handle(input: Input<Params, Query, Body>): Promise<z.input<Answer>>;
}

const noInput = z.strictObject({});

/** JSON Schema of a shape, as OpenAPI 3.1 takes it. */
export function jsonSchema(schema: z.ZodType, io: "input" | "output"): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Record<
    string,
    unknown
  >;
  return json;
}

/** Adds a route. Whatever a schema refuses ends in REQUEST_INVALID that names every wrong field. */
export function addEndpoint<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Body extends z.ZodType,
  Answer extends z.ZodType,
>(http: FastifyInstance, endpoint: Endpoint<Params, Query, Body, Answer>): void {
  const { method, path, access, status = 200, answer, produces } = endpoint;
  const parts: Record<string, z.ZodType> = {
    params: endpoint.params ?? noInput,
    querystring: endpoint.query ?? noInput,
    ...(endpoint.body ? { body: endpoint.body } : {}),
  };
  http.route({
    method,
    url: path,
    config: { access },
    schema: {
      tags: [endpoint.tag],
      summary: endpoint.summary,
      ...(access === "open"
        ? { security: [] }
        : { description: `Needs a key of the role ${access} or higher.` }),
      ...Object.fromEntries(
        Object.entries(parts).map(([part, schema]) => [part, jsonSchema(schema, "input")]),
      ),
      response: {
        [status]: answer
          ? { description: "The answer.", ...jsonSchema(answer, "output") }
          : produces
            ? { description: "The answer.", content: { [produces]: { schema: { type: "string" } } } }
            : { description: "Done.", type: "null" },
        "4xx": { description: "What was wrong with the request.", ...jsonSchema(errorSchema, "output") },
      },
    },
    validatorCompiler: ({ httpPart }) => {
      const schema = parts[httpPart ?? ""] ?? z.unknown();
      return (data: unknown) => {
        const parsed = schema.safeParse(data ?? {});
        return parsed.success
          ? { value: parsed.data }
          : { error: invalid(httpPart ?? "request", parsed.error) };
      };
    },
    // The schemas of answers are documentation, held by the tests; cutting answers to them would cost time.
    serializerCompiler: () => (data: unknown) => JSON.stringify(data),
    handler: async (request, reply) => {
      reply.status(status);
      return await endpoint.handle({
        params: request.params as z.output<Params>,
        query: request.query as z.output<Query>,
        body: request.body as z.output<Body>,
        caller: callerOf(request),
        reply,
      });
    },
  });
}

function invalid(part: string, error: z.ZodError): CityScaleError {
  const where = part === "querystring" ? "query" : part;
  const problems = error.issues
    .slice(0, 10)
    .map(
      (issue) =>
        `${[where, ...issue.path.map(String)].join(".").slice(0, 120)}: ${issue.message.slice(0, 300)}`,
    );
  return new CityScaleError("REQUEST_INVALID", problems.join("; "), { details: { problems } });
}

const callers = new WeakMap<FastifyRequest, Caller>();
const nobody: Caller = { name: "anonymous", role: "viewer", keyId: null };

/** Remembers who sent a request for as long as it lives. */
export function setCaller(request: FastifyRequest, caller: Caller): void {
  callers.set(request, caller);
}

export function callerOf(request: FastifyRequest): Caller {
  return callers.get(request) ?? nobody;
}
