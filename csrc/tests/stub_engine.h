/* stub_engine.h - how a test scripts the stub engine library and reads what happened to it.
 *
 * The stub exports the engine's functions with the engine's habits: thread-local errors that a success does
 * not clear, a thread per turn, deletes that wait for the turn. There are no sleeps in it; whatever has to
 * happen at a moment waits on the condition until the test says so.
 */
#ifndef LTLM_STUB_ENGINE_H
#define LTLM_STUB_ENGINE_H

#include <pthread.h>
#include <stdbool.h>

typedef struct {
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;

    /* script: read by the turn as it goes along */
    int chunks;
    const char *text;         /* of every chunk */
    const char *final_error;  /* NULL: a natural end */
    const char *second_final; /* the error of one final more; "": without an error; NULL: no second final */
    bool text_after_final;
    int hold_before;        /* the chunk (or, being equal to `chunks`, the final) that waits for `released` */
    int hold_second_final;  /* not 0: the second final waits for `released` */
    bool released;
    bool prefilling;        /* while true, a cancel is remembered but not acted on */
    bool ends_on_cancel;    /* no final until cancelled */
    bool ignores_cancel;    /* a cancel changes nothing: the natural end wins the race */
    int cancels_lost;       /* so many cancels go unheard */
    bool calls_from_send;   /* the whole turn runs inside send, on the sending thread */
    int send_code;          /* not 0: send is refused... */
    bool refused_turn_runs; /* ...but calls back nonetheless, on its own thread */

    const char *fail;         /* the function that fails, less its prefix; NULL: none */
    int fail_code;
    const char *fail_message; /* NULL: the engine gives no words; and no code: it leaves an old error in place */
    bool reuse_closed_fd;     /* what the library closes, it opens again at once as another file */

    int token_scores;  /* how many, of -0.5 each */
    int prefill_turns; /* what benchmark infos say; entry i counts 10 + i and 20 + i tokens */
    int decode_turns;

    /* observed */
    int delivered; /* callbacks that have returned */
    int cancels;
    int live;      /* objects created and not deleted */
    char log[16384];  /* calls and their values: "name(value);" */
} stub_control;

/* The state of the loaded stub, reset to: three chunks "x", a natural end. */
stub_control *stub_reset(void);

/* The same in simple calls. The next turns stop in their prefill, which nothing interrupts, until it is ended. */
void stub_hold_prefill(void);
void stub_end_prefill(void);
void stub_say(const char *text); /* of every chunk; borrowed */
int stub_live(void);

static inline void stub_lock(stub_control *stub) { pthread_mutex_lock(&stub->mutex); }

static inline void stub_unlock(stub_control *stub)
{
    pthread_cond_broadcast(&stub->changed);
    pthread_mutex_unlock(&stub->mutex);
}

/* Sets one field of the script while a turn may be running. */
#define STUB_SET(stub, field, value) \
    do {                             \
        stub_lock(stub);             \
        (stub)->field = (value);     \
        stub_unlock(stub);           \
    } while (0)

/* Waits until `field` is at least `value`. */
#define STUB_AWAIT(stub, field, value)                                  \
    do {                                                                \
        stub_lock(stub);                                                \
        while ((stub)->field < (value)) {                               \
            pthread_cond_wait(&(stub)->changed, &(stub)->mutex);        \
        }                                                               \
        stub_unlock(stub);                                              \
    } while (0)

#endif /* LTLM_STUB_ENGINE_H */
