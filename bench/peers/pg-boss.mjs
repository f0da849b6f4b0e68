// pg-boss. Its polling workers fetch at most every half second unless batches
// are full, so a client here is a loop around fetch() and complete().
import { PgBoss } from 'pg-boss';
import { amount, clients, database, latency, operation, payload, rate, started } from './common.mjs';

const boss = new PgBoss({ ...database, max: clients + 1, schedule: false, supervise: false, persistWarnings: false,
	useListenNotify: operation === 'latency' });
boss.on('error', (error) => { console.error(error.message); process.exit(1); });
await boss.start();

const some = (n) => Array.from({ length: n }, () => ({ data: payload }));
const fetchAndComplete = async (batchSize) => {
	const jobs = await boss.fetch('bench', { batchSize });
	if (jobs.length > 0) await boss.complete('bench', jobs.map((job) => job.id));
	return jobs.length;
};

const operations = {
	async install() {
		await boss.createQueue('bench');
		await boss.createQueue('bench-notify', { notify: true });
	},
	async fill() {
		for (let left = amount; left > 0; left -= 1000) await boss.insert('bench', some(Math.min(left, 1000)));
	},
	enqueue: () => rate(() => boss.send('bench', payload)),
	bulk: () => rate(() => boss.insert('bench', some(1000))),
	claim: () => rate(async () => {
		if (await fetchAndComplete(1) === 0) throw new Error('ran out of jobs');
	}),
	async batch() {
		let done = 0;
		const start = performance.now();
		await Promise.all(Array.from({ length: clients }, async () => {
			for (let n; (n = await fetchAndComplete(500)) > 0;) done += n;
		}));
		if (done < amount) throw new Error(`${done} jobs of ${amount}`);
		return done / (performance.now() - start) * 1000;
	},
	async latency() {
		await boss.work('bench-notify', { notifyPollingIntervalSeconds: 30 }, async ([job]) => started(job.data.n));
		await latency((n) => boss.send('bench-notify', { n }));
	},
};

const result = await operations[operation]();
if (result !== undefined) console.log(result.toFixed(1));
await boss.stop({ graceful: false });
process.exit(0);
