# Warnings and, where SLUICE_WERROR says so, errors: for our own targets only, never for a user's.
function(sluice_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
endfunction()
