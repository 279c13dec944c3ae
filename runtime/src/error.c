/* The text of the last error, one per thread. */
#include <stdarg.h>
#include <stdio.h>

#include "internal.h"

static TD_THREAD_LOCAL char message[1024];

const char *td_last_error(void) { return message; }

td_status td_fail(td_status code, const char *format, ...) {
  /* Formatted apart first: an argument may be td_last_error() itself. */
  char text[sizeof message];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  memcpy(message, text, sizeof message);
  return code;
}
