# What the programs of this folder's ports have in common; included after project().
include(${CMAKE_CURRENT_LIST_DIR}/../target.cmake) # NETWORK, NETWORK_CPU_FLAGS, NETWORK_DEFINITIONS

set(port ${CMAKE_CURRENT_LIST_DIR})
set(CMAKE_C_STANDARD 99)
set(CMAKE_C_EXTENSIONS OFF)
separate_arguments(cpu UNIX_COMMAND "${NETWORK_CPU_FLAGS}")
add_compile_options(${cpu} -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wcast-qual
                    -Wundef -Wshadow -Werror)
add_compile_definitions(${NETWORK_DEFINITIONS})
add_link_options(${cpu})
add_subdirectory(${port}/../../firmware firmware)
separate_arguments(optimize UNIX_COMMAND "${OPLIB_OPTIMIZE}")

# add_program(NAME SCRIPT SOURCE...): an ELF file, linked by a script for its memory
function(add_program name script)
  add_executable(${name} ${ARGN} ${port}/startup.c)
  target_compile_options(${name} PRIVATE ${optimize} -ffunction-sections -fdata-sections)
  target_include_directories(${name} PRIVATE ${port} ${port}/.. ${port}/../app
                             ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${NETWORK})
  target_link_options(${name} PRIVATE ${optimize} -nostartfiles --specs=nano.specs -Wl,--gc-sections
                      -T${script} -Wl,-Map=${name}.map)
  set_target_properties(${name} PROPERTIES LINK_DEPENDS ${script})
endfunction()

set(app ${port}/../app)
set(serving ${app}/serve.c ${app}/protocol.c)
set(program_images ${app}/images.c)
set(program_main ${app}/main.c)
set(program_serve ${app}/serve_main.c ${serving})
set(program_demo ${app}/demo.c ${serving})

# choose_program(NAME...): set `program` to the sources of the one that MODEL_PROGRAM names
macro(choose_program default)
  set(MODEL_PROGRAM ${default} CACHE STRING "one of: ${default} ${ARGN}")
  set(names ${default} ${ARGN})
  if(NOT MODEL_PROGRAM IN_LIST names)
    message(FATAL_ERROR "MODEL_PROGRAM: got ${MODEL_PROGRAM}, expected one of: ${names}")
  endif()
  set(program ${program_${MODEL_PROGRAM}})
endmacro()
