// The walk of an escrow service through the API, with nothing but the generated types: preview a
// split, release an escrow, wait until everybody is paid. What does not compile here would not
// compile at a customer's either.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.js";

// All that is used of Node.js, so that its own types need not be installed.
declare const process: {
  env: Record<string, string | undefined>;
  exitCode: number | undefined;
};

const projectId = "prj_client";
const release = {
  escrowId: "esc_client",
  projectId,
  milestoneId: "ms_client",
  amount: 200_000,
  currency: "USD",
} as const;

const client = createClient<paths>({
  baseUrl: required("DISBURSE_URL"),
  headers: { Authorization: `Bearer ${required("DISBURSE_TOKEN")}` },
});

async function main(): Promise<void> {
  await prepare();
  const expected = await previewNet();
  const batchId = await schedule(expected);
  await refusedASecondTime(batchId);
  await manyInOneCall(batchId);
  await paid(batchId, expected);
  await listed(batchId);
  console.log(`the generated client paid ${batchId}`);
}

async function prepare(): Promise<void> {
  for (const recipientId of ["rec_cleo", "rec_dan"]) {
    const stored = await client.PUT("/recipients/{recipientId}", {
      params: { path: { recipientId } },
      body: { status: "active", destination: { rail: "simulator" } },
    });
    answered(stored);
  }
  const model = await client.PUT("/projects/{projectId}/revenue-model", {
    params: { path: { projectId } },
    body: {
      platformFee: { ratePpm: 50_000 },
      steps: [
        {
          type: "share",
          lines: [
            { recipientId: "rec_cleo", percent: "70" },
            { recipientId: "rec_dan", percent: "30" },
          ],
        },
      ],
    },
  });
  answered(model);
}

async function previewNet(): Promise<number> {
  const { projectId, amount, currency } = release;
  const calculation = answered(
    await client.POST("/revenue/calculate", {
      body: { projectId, amount, currency },
    }),
  );
  equal("lines of the breakdown", calculation.breakdown.length, 2);
  equal("the platform's fee", calculation.totals.platformFee, 10_000);
  return calculation.totals.net;
}

async function schedule(expected: number): Promise<string> {
  const batch = answered(
    await client.POST("/revenue/schedule-payouts", { body: release }),
  );
  equal("items of the batch", batch.itemsCount, 2);
  equal("the scheduled total", batch.estimatedTotalPayout, expected);
  return batch.batchId;
}

async function refusedASecondTime(batchId: string): Promise<void> {
  const { error, response } = await client.POST("/revenue/schedule-payouts", {
    body: release,
  });
  equal("the status of a second call", response.status, 409);
  equal("the code of a second call", error?.error.code, "already_scheduled");
  equal("the batch that exists", error?.error.existing?.batchId, batchId);
}

async function manyInOneCall(batchId: string): Promise<void> {
  const releases = [release, { ...release, escrowId: "esc_client2" }];
  const text = answered(
    await client.POST("/revenue/schedule-payouts/bulk", {
      headers: { "Content-Type": "application/x-ndjson" },
      body: releases.map((one) => JSON.stringify(one)).join("\n"),
      bodySerializer: (lines) => lines,
      parseAs: "text",
    }),
  );
  type Outcome = components["schemas"]["ScheduleOutcome"];
  const lines = text.trim().split("\n");
  const outcomes = lines.map((line) => JSON.parse(line) as Outcome);
  const [first, second] = outcomes;
  equal("the lines of the answer", outcomes.length, 2);
  equal("the status of the first line", first?.status, 409);
  if (first === undefined || !("error" in first.body)) {
    throw new Error(`no error in ${lines[0]}`);
  }
  equal("its batch", first.body.error.existing?.batchId, batchId);
  equal("the number of the second line", second?.line, 2);
  if (second === undefined || !("batchId" in second.body)) {
    throw new Error(`no batch in ${lines[1]}`);
  }
  equal("its escrow", second.body.escrowId, "esc_client2");
}

async function paid(batchId: string, expected: number): Promise<void> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const batch = answered(
      await client.GET("/payouts/batches/{batchId}", {
        params: { path: { batchId } },
      }),
    );
    if (batch.status === "completed") {
      equal("the paid total", batch.totalNet, expected);
      for (const item of batch.items) {
        equal(`the state of ${item.userId}'s item`, item.status, "paid");
      }
      return;
    }
    if (Date.now() > deadline) {
      throw new Error(`${batchId} is still ${batch.status} after a minute`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function listed(batchId: string): Promise<void> {
  const page = answered(await client.GET("/payouts/batches"));
  if (!JSON.stringify(page).includes(`"${batchId}"`)) {
    throw new Error(`${batchId} is missing from the list of batches`);
  }
}

/** The data of a 2xx answer; anything else is an error that shows the answer. */
function answered<T>(result: {
  data?: T;
  error?: unknown;
  response: Response;
}): T {
  if (result.data === undefined) {
    const { status, url } = result.response;
    throw new Error(`${status} from ${url}: ${JSON.stringify(result.error)}`);
  }
  return result.data;
}

function equal(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) {
    throw new Error(
      `${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`,
    );
  }
}

function required(variable: string): string {
  const value = process.env[variable];
  if (!value) {
    throw new Error(`${variable} is not set`);
  }
  return value;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
