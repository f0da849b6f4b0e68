-- A decision: looks at an order and names the steps that follow. They are
-- enqueued in the transaction that completes the decision, or none is. See
-- doc/decision-handler.md.

CREATE FUNCTION decision.route_order(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	o     decision.customer_order;
	steps text[] := '{charge_card}';
	rule  text := 'small order';
BEGIN
	SELECT * INTO STRICT o FROM decision.customer_order WHERE order_id = (payload ->> 'order_id')::integer;
	IF o.amount < 0 THEN
		steps := '{refund_by_pigeon}'; -- nobody has registered that
		rule := 'negative amount';
	ELSIF o.amount >= 500 THEN
		steps := '{review_order}';
		rule := 'large order';
	END IF;
	IF o.country <> 'DE' AND o.amount < 500 THEN
		steps := steps || '{declare_customs}'::text[];
	END IF;
	RETURN taskq.decision(steps,
		routing_context => jsonb_build_object('rule', rule, 'amount', o.amount, 'country', o.country),
		step_options => '{"declare_customs": {"priority": 10}}');
END $$;

-- the steps: each notes that it was there
CREATE FUNCTION decision.note(payload jsonb) RETURNS jsonb LANGUAGE sql AS $$
	UPDATE decision.customer_order SET history = history || (taskq.current_job()).task_type
	WHERE order_id = (payload ->> 'order_id')::integer
	RETURNING to_jsonb(history)
$$;

SELECT taskq.register_handler('route_order', 'decision.route_order(jsonb)', description => 'decide what becomes of an order'),
	taskq.register_handler('charge_card', 'decision.note(jsonb)'),
	taskq.register_handler('review_order', 'decision.note(jsonb)'),
	taskq.register_handler('declare_customs', 'decision.note(jsonb)');
