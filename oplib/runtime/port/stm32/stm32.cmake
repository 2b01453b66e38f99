# The build of a board's folder on ST's HAL. The including CMakeLists.txt has set
#   BOARD_CUBE     name of the variable, of CMake or of the environment, that names ST's part
#   BOARD_OPENOCD  the board's configuration file of OpenOCD
#   BOARD_LOADER   ST's loader for the flash outside the chip; empty without such a flash
# ST's part is a folder with ST's files and a stm32cube.cmake, which defines a library `stm32cube`:
# the start-up code, the system file and the HAL's drivers that stm32*_hal_conf.h names, with the
# folders of their headers, and what else board.c includes.
set(port ${CMAKE_CURRENT_SOURCE_DIR}/../../port)
include(${port}/target.cmake) # NETWORK, NETWORK_CPU_FLAGS, NETWORK_DEFINITIONS
include(${CMAKE_CURRENT_SOURCE_DIR}/device.cmake) # BOARD_WEIGHTS_ADDRESS

set(${BOARD_CUBE} "$ENV{${BOARD_CUBE}}" CACHE PATH "folder of ST's files and stm32cube.cmake")
set(MODEL_BOARD_DIR ${CMAKE_CURRENT_SOURCE_DIR}/../../board
    CACHE PATH "folder of your own C files")
set(MODEL_PROGRAM "" CACHE STRING
    "demo, serve or main of port/app, or own; empty: main with C files of your own, demo without")
set(cube ${${BOARD_CUBE}}/stm32cube.cmake)
if(NOT EXISTS ${cube})
  message(FATAL_ERROR "${BOARD_CUBE}: got \"${${BOARD_CUBE}}\", expected a folder with "
                      "stm32cube.cmake; README.md says what it holds")
endif()

file(GLOB own CONFIGURE_DEPENDS ${MODEL_BOARD_DIR}/*.c)
set(demo ${port}/app/demo.c ${port}/app/serve.c ${port}/app/protocol.c)
set(serve ${port}/app/serve_main.c ${port}/app/serve.c ${port}/app/protocol.c)
set(main ${port}/app/main.c ${own})
set(program ${MODEL_PROGRAM})
if(NOT program AND own)
  set(program main)
elseif(NOT program)
  set(program demo)
elseif(NOT program MATCHES "^(demo|serve|main|own)$")
  message(FATAL_ERROR "MODEL_PROGRAM: got ${program}, expected demo, serve, main or own")
endif()

separate_arguments(cpu UNIX_COMMAND "${NETWORK_CPU_FLAGS}")
add_compile_options(${cpu})
add_link_options(${cpu})
add_compile_definitions(${NETWORK_DEFINITIONS})
add_subdirectory(${CMAKE_CURRENT_SOURCE_DIR}/../../firmware firmware)
separate_arguments(optimize UNIX_COMMAND "${OPLIB_OPTIMIZE}")
add_compile_options(${optimize} -ffunction-sections -fdata-sections)
include_directories(${MODEL_BOARD_DIR}) # first, so that your stm32*_hal_conf.h goes before ours
include(${cube})

set(script ${CMAKE_CURRENT_SOURCE_DIR}/device.ld)
add_executable(board.elf board.c ${port}/stm32/stm32.c ${${program}})
set_target_properties(board.elf PROPERTIES LINK_DEPENDS ${script} C_STANDARD 99 C_EXTENSIONS OFF)
target_include_directories(board.elf PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${port} ${port}/stm32
                           ${port}/cortex_m ${port}/app)
target_compile_options(board.elf PRIVATE -Wall -Wextra)
target_link_libraries(board.elf PRIVATE ${NETWORK} stm32cube)
target_link_options(board.elf PRIVATE ${optimize} --specs=nano.specs
                    --specs=nosys.specs -Wl,--wrap=main -Wl,--gc-sections -T${script}
                    -Wl,-Map=board.map -Wl,--print-memory-usage)

# board.bin is for the chip's flash, weights.bin for the one outside
set(outside)
set(elsewhere)
if(BOARD_WEIGHTS_ADDRESS)
  target_compile_definitions(board.elf PRIVATE BOARD_WEIGHTS_ADDRESS=${BOARD_WEIGHTS_ADDRESS}u)
  set(outside COMMAND ${CMAKE_OBJCOPY} -O binary -j .weights -j .test_images
              board.elf weights.bin)
  set(elsewhere -R .weights -R .test_images)
endif()
add_custom_command(TARGET board.elf POST_BUILD
                   COMMAND ${CMAKE_OBJCOPY} -O binary ${elsewhere} board.elf board.bin
                   ${outside})

add_custom_target(flash_openocd DEPENDS board.elf USES_TERMINAL
                  COMMAND openocd -f ${BOARD_OPENOCD} -c "program board.elf verify reset exit")
add_custom_target(flash_stlink DEPENDS board.elf USES_TERMINAL
                  COMMAND st-flash --reset write board.bin 0x08000000)
if(BOARD_WEIGHTS_ADDRESS)
  set(BOARD_LOADER_FILE ${BOARD_LOADER}
      CACHE STRING "external loader, by the path in STM32CubeProgrammer's ExternalLoader folder")
  add_custom_target(flash_qspi DEPENDS board.elf USES_TERMINAL
                    COMMAND STM32_Programmer_CLI -c port=SWD -el ${BOARD_LOADER_FILE}
                            -w weights.bin ${BOARD_WEIGHTS_ADDRESS} -v)
endif()
