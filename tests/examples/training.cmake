# Runs PROGRAM on DATA and what else is given, or says that the data is not there.
if(NOT EXISTS ${DATA})
  message("skipped: ${DATA} is not there; tools/get_data.sh gets it")
  return()
endif()
execute_process(COMMAND ${PROGRAM} ${DATA} ${ARGUMENTS} COMMAND_ERROR_IS_FATAL ANY)
