-- attempts: an endless loop by goto
-- expect: BUDGET
::again::
goto again
