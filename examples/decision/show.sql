-- What was decided and why; the last one could not be.
SELECT payload ->> 'order_id' AS order_id, state, result ->> 'activated_steps' AS activated_steps,
	result -> 'routing_context' ->> 'rule' AS rule, last_error
FROM taskq.all_jobs WHERE task_type = 'route_order' ORDER BY job_id;

SELECT order_id, history FROM decision.customer_order ORDER BY order_id;
