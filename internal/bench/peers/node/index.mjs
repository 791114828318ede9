// The function as it is usually written for Node.js: Powertools' batch
// processor, which runs the records of a batch side by side, fetch and the AWS
// SDK.
import { BatchProcessor, EventType, processPartialResponse } from '@aws-lambda-powertools/batch';
import { PublishCommand, SNSClient } from '@aws-sdk/client-sns';
import { Agent, setGlobalDispatcher } from 'undici';

// A process on Lambda has 1,024 file descriptors, and fetch opens a connection for
// each call that runs. 50 is the AWS SDK's own limit.
setGlobalDispatcher(new Agent({ connections: 50 }));

const { HW_CBR_ENDPOINT, HW_AUTH_TOKEN, RESULT_TOPIC_ARN } = process.env;
const attempts = 6;
const sns = new SNSClient({});
const processor = new BatchProcessor(EventType.SQS);

class Rejected extends Error {}

async function call(request) {
  const response = await fetch(`${HW_CBR_ENDPOINT}/v3/${request.project_id}/checkpoints/replicate`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Auth-Token': HW_AUTH_TOKEN },
    body: JSON.stringify({ replicate: request.replicate }),
    signal: AbortSignal.timeout(30_000),
  });
  const answer = await response.text();
  if (response.ok) return JSON.parse(answer).replication;
  const message = `CBR answered ${response.status}: ${answer}`;
  throw response.status === 429 || response.status >= 500 ? new Error(message) : new Rejected(message);
}

async function replicate(request) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(request);
    } catch (error) {
      if (error instanceof Rejected || attempt === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 500 * 2 ** attempt));
    }
  }
}

async function onRecord(record) {
  const request = JSON.parse(record.body);
  const replication = await replicate(request);
  console.log(JSON.stringify({ level: 'INFO', msg: 'replication started', message_id: record.messageId, vault_id: request.replicate.vault_id }));
  const status = 'accepted';
  await sns.send(
    new PublishCommand({
      TopicArn: RESULT_TOPIC_ARN,
      Message: JSON.stringify({ message_id: record.messageId, status, vault_id: request.replicate.vault_id, replication }),
      MessageAttributes: { status: { DataType: 'String', StringValue: status } },
    }),
  );
}

export const handler = (event, context) =>
  processPartialResponse(event, onRecord, processor, { context, throwOnFullBatchFailure: false });
