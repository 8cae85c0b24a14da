-- attempts: more captures than there is room for
-- expect: SCRIPT
return ('x'):find(('()'):rep(40))
