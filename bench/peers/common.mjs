// What the drivers share. A driver is called as
//   node DRIVER.mjs OPERATION CLIENTS AMOUNT
// and prints how many operations a second there were (latency: microseconds).
export const [operation, clients, amount] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
export const database = { host: process.env.PGHOST, user: 'bench', database: 'bench' };
export const payload = { customer: 4711, document: 'invoice' };

const WARM_UP = 0.3; // seconds

// Do one thing over and over in each of the clients, for AMOUNT seconds.
export async function rate(once) {
	let done = 0, stop = false;
	const loops = Array.from({ length: clients }, async () => {
		while (!stop) {
			await once();
			done++;
		}
	});
	const seconds = await counted(() => done);
	stop = true;
	await Promise.all(loops);
	return seconds;
}

// How fast a counter runs, after the warm-up.
export async function counted(read) {
	const sleep = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000));
	await sleep(WARM_UP);
	const start = performance.now(), before = read();
	await sleep(amount);
	return (read() - before) / (performance.now() - start) * 1000;
}

// Send AMOUNT jobs one at a time, with a pause after each; their handlers, in
// this process as in the peers' own tests, call started() with the number.
const begun = new Map();
export const started = (n) => { if (begun.has(n)) begun.get(n)(performance.now()); };
export async function latency(send) {
	const fromSending = [], fromAnswer = [];
	for (let n = 1; n <= amount + 5; n++) {
		await new Promise((resolve) => setTimeout(resolve, 20));
		const start = new Promise((resolve) => begun.set(n, resolve));
		const before = performance.now();
		await send(n);
		const after = performance.now(), at = await start;
		if (n <= 5) continue; // the warm-up
		fromSending.push(at - before);
		fromAnswer.push(at - after);
	}
	for (const [what, times] of [['from sending COMMIT', fromSending], ['from its answer', fromAnswer]]) {
		times.sort((a, b) => a - b);
		for (const [name, at] of [['median', 0.5], ['p95', 0.95]])
			console.log(`${what}, ${name} ${(times[Math.floor(times.length * at)] * 1000).toFixed(1)}`);
	}
}
