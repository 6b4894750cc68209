import { Agent, request } from "node:http";

// A caller in a process of its own, as a client is: one request after the other on a kept connection.
// Told by its parent what to send; answers with the milliseconds of each request.

interface Order {
  readonly url: string;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
  readonly requests: number;
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function once(order: Order): Promise<number> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const sent = request(order.url, { method: order.method, headers: order.headers, agent }, (answer) => {
      answer.on("data", () => undefined);
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(performance.now() - began);
        else reject(new Error(`status ${answer.statusCode}`));
      });
    });
    sent.on("error", reject);
    sent.end(order.body ?? undefined);
  });
}

process.on("message", async (order: Order) => {
  try {
    const times: number[] = [];
    for (let i = 0; i < order.requests; i++) times.push(await once(order));
    process.send!({ times });
  } catch (error) {
    process.send!({ error: String(error) });
  }
});
process.on("disconnect", () => process.exit());
