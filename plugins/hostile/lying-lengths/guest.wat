;; Tells the host lies about where things are and how long they are. The first byte of the event's
;; payload picks the lie; without one of these it tells the truth.
(module
  (import "gristmill:plugin/publish@0.1.0" "emit" (func $emit (param i32 i32)))
  (memory (export "memory") 18)

  ;; An emission at 256: every field empty but these.
  (data (i32.const 512) "topic")
  (data (i32.const 528) "\ff\fe\fd")

  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  (func $text (param $at i32) (param $from i32) (param $length i32)
    (i32.store (local.get $at) (local.get $from))
    (i32.store offset=4 (local.get $at) (local.get $length)))

  (func (export "gristmill:plugin/event-handler@0.1.0#handle") (param $event i32) (result i32)
    (local $lie i32) (local $header i32)
    (local.set $lie (i32.load8_u (i32.load offset=92 (local.get $event))))
    (call $text (i32.const 256) (i32.const 512) (i32.const 5))
    (call $text (i32.const 264) (i32.const 512) (i32.const 5))

    ;; a: a payload of nearly 2 GiB
    (if (i32.eq (local.get $lie) (i32.const 97))
      (then (call $text (i32.const 308) (i32.const 16) (i32.const 0x7fffffff))))
    ;; b: a topic that is no UTF-8
    (if (i32.eq (local.get $lie) (i32.const 98))
      (then (call $text (i32.const 256) (i32.const 528) (i32.const 3))))
    ;; c: 8,192 headers that are all the same mebibyte, 8 GiB in all
    (if (i32.eq (local.get $lie) (i32.const 99))
      (then
        (call $text (i32.const 328) (i32.const 131072) (i32.const 8192))
        (local.set $header (i32.const 131072))
        (loop $next
          (call $text (local.get $header) (i32.const 512) (i32.const 5))
          (call $text (i32.add (local.get $header) (i32.const 8)) (i32.const 0) (i32.const 1048576))
          (local.set $header (i32.add (local.get $header) (i32.const 16)))
          (br_if $next (i32.lt_u (local.get $header) (i32.const 262144))))))
    ;; d: an answer outside of its memory
    (if (i32.eq (local.get $lie) (i32.const 100)) (then (return (i32.const -16))))
    ;; e: an answer that is neither success nor failure
    (if (i32.eq (local.get $lie) (i32.const 101))
      (then (i32.store8 (i32.const 1024) (i32.const 9)) (return (i32.const 1024))))
    ;; f: an emission across the end of its memory
    (if (i32.eq (local.get $lie) (i32.const 102))
      (then (call $emit (i32.const 1179640) (i32.const 768))))

    (call $emit (i32.const 256) (i32.const 768))
    (i32.const 1024)))
