// A server of SQS and SNS on the loopback interface: the package's own start listens on all interfaces.
// Arguments: the directory of the package, the port, and the directory of its data, if it shall keep them.
import { pathToFileURL } from "node:url";

const [directory, port, data] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(`${directory}/node_modules/fauxqs/dist/${file}`));
const [{ buildApp }, { SqsStore }, { SnsStore }, { S3Store }] = await Promise.all(
  ["app.js", "sqs/sqsStore.js", "sns/snsStore.js", "s3/s3Store.js"].map(load),
);
const stores = { sqsStore: new SqsStore(), snsStore: new SnsStore(), s3Store: new S3Store() };
if (data) {
  const { PersistenceManager } = await load("persistence.js");
  const kept = new PersistenceManager(data);
  // First everything is loaded: loading would write it again.
  kept.load(stores.sqsStore, stores.snsStore, stores.s3Store);
  // Its statement for a released message fails. Without it the message comes again at the end of its lease after a restart.
  kept.updateMessageReady = () => {};
  stores.sqsStore.persistence = kept;
  stores.snsStore.persistence = kept;
  for (const queue of stores.sqsStore.allQueues()) queue.persistence = kept;
}
await buildApp({ logger: false, stores }).listen({ port: Number(port), host: "127.0.0.1" });
