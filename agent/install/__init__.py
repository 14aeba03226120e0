"""The service on a machine: installed, upgraded, rolled back, removed. By root, or in a directory in place of `/`.

`layout` knows where everything lies, `system` installs and renews it, `found` finds the logs that there are, `removal`
takes it away again, `upgrade` says what another version would do to a store, and goes back to the one before.
"""
