-- attempts: an error without a message
-- expect: SCRIPT
error(nil)
