# Warnings and, where SLUICE_WERROR says so, errors: for our own targets only, never for a user's.
function(sluice_warnings target)
  # g++ 12 finds an overlap in plain additions of strings (GCC's bug 105651).
  target_compile_options(${target} PRIVATE -Wall -Wextra $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
                                           $<$<BOOL:${SLUICE_WERROR}>:-Werror>)
endfunction()
