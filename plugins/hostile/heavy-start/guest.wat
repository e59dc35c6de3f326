;; Runs for ever in its start function, before any handler is called.
(module
  (memory (export "memory") 1)
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
  (func (export "gristmill:plugin/event-handler@0.1.0#handle") (param i32) (result i32)
    (i32.const 0)))
