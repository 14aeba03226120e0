"""Alert rules: from stored events to what hooks are told. The walk of an alert goes one way.

    config ▶ `rules` ▶ `matching`, `counting` ▶ `engine` ▶ `live` ▶ `document` ▶ core.outbox ▶ agent.hooks

`rules` compiles what the configuration says. With each transaction of the writer `live` lets `counting` find the events
that rules count, by the index in `matching`; `engine` counts them in the sliding windows of states (`state`, `window`)
and moves these (`transitions`); `shared` lets rules that count the same share a counter. What follows, states and
deliveries (`document`), is stored in that same transaction, and after the commit `running` hands the deliveries to the
hooks. `replay` sends stored events the same way, to say when a rule would have fired.
"""
