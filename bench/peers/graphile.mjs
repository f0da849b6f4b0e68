// graphile-worker: as it comes, or with the batching that its page on
// performance recommends (operation batch: a local queue of 500 jobs and
// completions in batches, 24 jobs at a time in each of CLIENTS processes).
import { fork } from 'node:child_process';
import pg from 'pg';
import { Logger, run, runMigrations } from 'graphile-worker';
import { amount, clients, counted, database, latency, operation, started } from './common.mjs';

const BATCHING = { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const logger = new Logger(() => (level, message) => { if (level === 'error') console.error(message); });
const pool = new pg.Pool({ ...database, max: (operation === 'child' ? BATCHING.concurrentJobs : clients) + 2 });
pool.on('error', () => {});
pool.on('connect', (client) => client.on('error', () => {}));
const work = (task, worker) => run({ pgPool: pool, logger, noHandleSignals: true, taskList: { bench: task }, preset: { worker } });

// A process of operation batch; says when its first job starts.
async function child() {
	let told = false;
	await work(() => {
		if (!told) process.send(performance.timeOrigin + performance.now());
		told = true;
	}, BATCHING);
}

const operations = {
	install: () => runMigrations({ pgPool: pool, logger }),
	async claim() {
		let done = 0;
		const runner = await work(() => { done++; }, { concurrentJobs: clients });
		const result = await counted(() => done);
		await runner.stop();
		return result;
	},
	async batch() {
		let start;
		const children = Array.from({ length: clients }, () => fork(process.argv[1], ['child', '1', '0']));
		for (const one of children) one.on('message', (at) => { start = Math.min(start ?? at, at); });
		const deadline = performance.now() + 120000;
		for (;;) {
			const { rows } = await pool.query('SELECT EXISTS (SELECT FROM graphile_worker._private_jobs) AS left');
			if (!rows[0].left) break;
			if (performance.now() > deadline) throw new Error('jobs are left after two minutes');
			await new Promise((resolve) => setTimeout(resolve, 5));
		}
		const result = amount / (performance.timeOrigin + performance.now() - start) * 1000;
		for (const one of children) one.kill();
		return result;
	},
	async latency() {
		await work((job) => started(job.n), { concurrentJobs: 1 });
		await latency((n) => pool.query("SELECT graphile_worker.add_job('bench', json_build_object('n', $1::integer))", [n]));
	},
};

if (operation === 'child') {
	await child();
} else {
	const result = await operations[operation]();
	if (result !== undefined) console.log(result.toFixed(1));
	process.exit(0);
}
